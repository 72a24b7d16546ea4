// What each client for TypeScript must return for the same request. The annotations are the check: a client whose types
// lose a name or a null does not compile.
export interface Bucket {
  start_date: string
  active: number | null
  features: { im: { adoption: number | null } }
}

export function check(client: string, buckets: readonly Bucket[] | undefined, csv: string): void {
  const [bucket] = buckets ?? []
  if (buckets?.length !== 7 || bucket?.active == null || bucket.features.im.adoption == null) {
    throw new Error(`${client}: ${JSON.stringify(bucket)}`)
  }
  if (!csv.startsWith('start_date,end_date,') || csv.trimEnd().split('\n').length !== 8) {
    throw new Error(`${client}: ${csv.slice(0, 200)}`)
  }
  console.log(`${client}: ok`)
}

declare const process: { env: { GATEWAY: string } }

export const gateway = process.env.GATEWAY
