import { check } from './check'
import { activityReport, getActivityReportExportUrl, type ActivityItem } from './generated/orval/pulse'

const report = await activityReport({ period: '7d' })
if (report.status !== 200) throw new Error(String(report.status))
const items: ActivityItem[] = report.data.data
// orval reads every body as JSON, so a file is fetched with the address.
const file = await fetch(getActivityReportExportUrl('csv', { period: '7d' }))
check('orval', items, await file.text())
