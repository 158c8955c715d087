/** An address that is none. */
import { MapPinOff } from 'lucide'
import { ButtonLink } from '../components/button.js'
import { Empty } from '../components/empty.js'
import { Page } from '../components/page.js'

export const NotFoundPage = () => (
  <Page title="There is no such page">
    <Empty icon={MapPinOff} title="Nothing is at this address.">
      <p>The link may be of a newer version of the service, or mistyped.</p>
      <ButtonLink href="/ui">To the beginning</ButtonLink>
    </Empty>
  </Page>
)
