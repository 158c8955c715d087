/** Shows the page in the other theme. */
import { Moon, Sun } from 'lucide'
import { Button } from '../components/button.js'
import { Icon } from '../components/icon.js'
import { useTheme } from './theme.js'

export function ThemeButton() {
  const [theme, toggle] = useTheme()
  const label = theme === 'dark' ? 'Light theme' : 'Dark theme'
  return (
    <Button kind="quiet" onClick={toggle} aria-label={label} title={label}>
      <Icon of={theme === 'dark' ? Sun : Moon} />
    </Button>
  )
}
