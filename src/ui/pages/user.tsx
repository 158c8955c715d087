/** One user. */
import { Page } from '../components/page.js'

export const UserPage = ({ userId }: { userId: string }) => (
  <Page title="User">
    <code>{userId}</code>
  </Page>
)
