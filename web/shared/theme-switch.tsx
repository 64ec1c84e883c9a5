import { type MantineColorScheme, useMantineColorScheme } from '@mantine/core'

const schemes: { value: MantineColorScheme; label: string; icon: string }[] = [
  {
    value: 'light',
    label: 'Light',
    icon: 'M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z',
  },
  { value: 'auto', label: 'As the system', icon: 'M4 5h16v11H4zM9 20h6M12 16v4' },
  { value: 'dark', label: 'Dark', icon: 'M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5z' },
]

/** Three small buttons: light, as the system, dark. The choice stays on this device. */
export function ThemeSwitch() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  return (
    <fieldset className="theme-switch">
      <legend className="visually-hidden">Colour theme</legend>
      {schemes.map(scheme => (
        <button
          key={scheme.value}
          type="button"
          aria-label={scheme.label}
          title={scheme.label}
          aria-pressed={colorScheme === scheme.value}
          onClick={() => setColorScheme(scheme.value)}
        >
          <svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" focusable="false">
            <path
              d={scheme.icon}
              fill="none"
              stroke="currentColor"
              strokeWidth="1.8"
              strokeLinecap="round"
              strokeLinejoin="round"
            />
          </svg>
        </button>
      ))}
    </fieldset>
  )
}
