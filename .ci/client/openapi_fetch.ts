import createClient from 'openapi-fetch'
import { check, gateway } from './check'
import type { components, paths } from './generated/openapi-typescript/schema'

const client = createClient<paths>({ baseUrl: gateway })
const query = { period: '7d' }
const { data, error } = await client.GET('/v1/reports/activity', { params: { query } })
if (error) throw new Error(error.detail)
const items: components['schemas']['ActivityItem'][] = data.data
const file = await client.GET('/v1/reports/activity.{format}', { params: { path: { format: 'csv' }, query }, parseAs: 'text' })
check('openapi-fetch', items, file.data ?? '')

const refused = await client.GET('/v1/reports/activity', { params: { query: { period: 'soon' } } })
const problem: components['schemas']['Problem'] | undefined = refused.error
if (problem?.code !== 'invalid_parameters') throw new Error(JSON.stringify(refused))
