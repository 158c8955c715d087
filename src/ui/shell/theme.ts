/** Light or dark: as the system says, unless somebody chose here. The choice is remembered in this browser. */
import { useEffect, useState } from 'preact/hooks'

export type Theme = 'light' | 'dark'

const NAME = 'theme'
const system = matchMedia('(prefers-color-scheme: dark)')

const systemTheme = (): Theme => (system.matches ? 'dark' : 'light')

function remembered(): Theme | null {
  try {
    const found = localStorage.getItem(NAME)
    return found === 'light' || found === 'dark' ? found : null
  } catch {
    return null // A browser that keeps nothing.
  }
}

/** To be called before anything is drawn. */
export function applyTheme(theme: Theme | null = remembered()): void {
  if (theme) document.documentElement.dataset.theme = theme
  else delete document.documentElement.dataset.theme
}

/** The theme that is shown, and a function that shows the other one. */
export function useTheme(): [theme: Theme, toggle: () => void] {
  const [theme, setTheme] = useState<Theme>(() => remembered() ?? systemTheme())
  useEffect(() => {
    const follow = () => setTheme(remembered() ?? systemTheme())
    system.addEventListener('change', follow)
    return () => system.removeEventListener('change', follow)
  }, [])
  function toggle(): void {
    const next = theme === 'dark' ? 'light' : 'dark'
    // Whoever goes back to what the system says follows the system again.
    const chosen = next === systemTheme() ? null : next
    try {
      if (chosen) localStorage.setItem(NAME, chosen)
      else localStorage.removeItem(NAME)
    } catch {
      // It holds as long as this page.
    }
    applyTheme(chosen)
    setTheme(next)
  }
  return [theme, toggle]
}
