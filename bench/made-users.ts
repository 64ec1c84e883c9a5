// Users made through the API, with a password.

/**
 * @param site.core address of Core
 * @param site.token API token that may create users
 */
export async function createUser(
  { core, token }: { core: string; token: string },
  name: string,
  password: string,
): Promise<void> {
  const call = async (path: string, body: object): Promise<unknown> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const answer = await fetch(`${core}/api/v3/core/users/${path}`, {
      ...{ method: 'POST', headers, body: JSON.stringify(body) },
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path} of the benchmark answered ${answer.status}: ${text}`)
    return text === '' ? null : JSON.parse(text)
  }
  const { pk } = (await call('', { username: name, name, is_active: true, path: 'users' })) as { pk: number }
  await call(`${pk}/set_password/`, { password })
}
