import { check, gateway } from './check'
import { client } from './generated/hey-api/client.gen'
import { activityReport, activityReportExport, type ActivityItem } from './generated/hey-api'

client.setConfig({ baseUrl: gateway })
const query = { period: '7d' }
const { data, error } = await activityReport({ query })
if (error) throw new Error(error.detail)
const items: ActivityItem[] | undefined = data?.data
const file = await activityReportExport({ path: { format: 'csv' }, query, parseAs: 'text' })
check('@hey-api/openapi-ts', items, String(file.data))
