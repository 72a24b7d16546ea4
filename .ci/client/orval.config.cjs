module.exports = {
  pulse: {
    input: process.env.DOCUMENT,
    output: { target: './generated/orval/pulse.ts', client: 'fetch', baseUrl: process.env.GATEWAY },
  },
}
