import { check, gateway } from './check'
import { Configuration, ExportsApi, ReportsApi } from './generated/typescript-fetch'

const configuration = new Configuration({ basePath: gateway })
const { data } = await new ReportsApi(configuration).activityReport({ period: '7d' })
const file: Blob = await new ExportsApi(configuration).activityReportExport({ format: 'csv', period: '7d' })
// openapi-generator names properties in camelCase and makes dates of dates.
const items = data.map((item) => ({ ...item, start_date: item.startDate.toISOString() }))
check('openapi-generator typescript-fetch', items, await file.text())
