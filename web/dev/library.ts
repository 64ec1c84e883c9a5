// Canned answers of the API for the library page.

const groups: [string, string, string, string, boolean][] = [
  ['Grafana', 'Engineering', 'Dashboards and alerts', 'Grafana Labs', false],
  ['Forgejo', 'Engineering', 'Repositories and reviews', '', false],
  ['Container Registry', 'Engineering', '', '', true],
  ['Nextcloud', 'Office', 'Files, photos and calendars', '', false],
  ['Roundcube', 'Office', 'Mail', '', false],
  ['Wiki', 'Office', 'What we know, written down', '', true],
  ['Home Assistant', '', 'Lights, heating, doors', '', false],
  ['Vaultwarden', '', 'Passwords', '', false],
]

/** Rows of `GET /api/v3/core/applications/`. */
export const applications = groups.map(([name, group, description, publisher, newTab], index) => ({
  pk: `00000000-0000-4000-8000-00000000000${index}`,
  name,
  slug: name.toLowerCase().replaceAll(' ', '-'),
  launch_url: `/launched/${name.toLowerCase().replaceAll(' ', '-')}`,
  open_in_new_tab: newTab,
  meta_icon_url: name === 'Roundcube' ? '/media/public/missing.png' : null,
  meta_description: description,
  meta_publisher: publisher,
  group,
}))

/** Body of `GET /api/v3/core/users/me/`. */
export const me = {
  user: {
    pk: 5,
    username: 'alice',
    name: 'Alice Archer',
    is_active: true,
    is_superuser: false,
    groups: [],
    email: 'alice@example.com',
    avatar: '',
    uid: 'a'.repeat(64),
    settings: {},
    type: 'internal',
    system_permissions: [],
  },
}

/** Rows of `GET /api/v3/core/authenticated_sessions/`; the last one belongs to somebody else. */
export function sessions() {
  const row = (number: number, user: number, current: boolean, browser: string, os: string, day: string) => ({
    uuid: `10000000-0000-4000-8000-00000000000${number}`,
    current,
    user,
    user_agent: {
      device: { family: 'Other' },
      os: { family: os },
      user_agent: { family: browser, major: '150' },
    },
    geo_ip: null,
    asn: null,
    last_ip: `192.0.2.${number}`,
    last_user_agent: '',
    last_used: `2026-09-${day}T10:00:00Z`,
    expires: '2026-10-20T10:00:00Z',
  })
  return [
    row(1, 5, false, 'Firefox', 'Linux', '12'),
    row(2, 5, true, 'Chromium', 'Linux', '20'),
    row(3, 5, false, 'Safari', 'iOS', '18'),
    row(4, 9, false, 'Opera', 'Windows', '19'),
  ]
}

/** The list envelope of the API. */
export function envelope(results: unknown[]) {
  const count = results.length
  return {
    pagination: { next: 0, previous: 0, count, current: 1, total_pages: 1, start_index: 1, end_index: count },
    results,
  }
}
