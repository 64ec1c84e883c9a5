// The demo's objects: one application with a proxy provider, on the embedded outpost and on one called `Standalone`. Made once; its
// addresses follow the ports of this start as long as nobody has edited them, and what was deleted stays deleted.
import { createApplication } from '../../core/applications/applications.ts'
import type { Core } from '../../core/core.ts'
import { attachProviders, createOutpost, ensureEmbeddedOutpost } from '../../core/outposts/account.ts'
import { createProxyProvider, updateProxyProviderHosts } from '../../core/providers/proxy-providers.ts'
import type { DataDirectory } from './data-directory.ts'
import { findDemoProvider, slugIsTaken } from './demo-objects.sql.ts'

interface Hosts {
  externalHost: string
  internalHost: string
}

/** What is remembered between starts, in `demo.json`. */
interface Remembered extends Hosts {
  provider: number
  outpost: string
}

const file = 'demo.json'
const slug = 'demo'

/** @returns id of the outpost `Standalone`, or undefined when there is no demo (any more) */
export async function ensureDemo(core: Core, data: DataDirectory, hosts: Hosts): Promise<string | undefined> {
  const text = data.read(file)
  if (text === undefined) return create(core, data, hosts)
  const remembered = JSON.parse(text) as Remembered
  const found = await findDemoProvider(core.db, remembered.provider)
  if (found === undefined) return undefined
  const untouched =
    found.external_host === remembered.externalHost && found.internal_host === remembered.internalHost
  const same =
    hosts.externalHost === remembered.externalHost && hosts.internalHost === remembered.internalHost
  if (untouched && !same) {
    await core.db.transaction(tx =>
      updateProxyProviderHosts(tx, core, remembered.provider, {
        external_host: hosts.externalHost,
        internal_host: hosts.internalHost,
      }),
    )
    data.write(file, JSON.stringify({ ...remembered, ...hosts }))
  }
  return remembered.outpost
}

async function create(core: Core, data: DataDirectory, hosts: Hosts): Promise<string | undefined> {
  // A new data directory on a database that already has the application: it is somebody's.
  if (await slugIsTaken(core.db, slug)) return undefined
  const remembered = await core.db.transaction(async tx => {
    const provider = await createProxyProvider(tx, core, {
      name: 'Demo',
      mode: 'proxy',
      external_host: hosts.externalHost,
      internal_host: hosts.internalHost,
      authorizationFlowSlug: 'default-provider-authorization-implicit-consent',
      invalidationFlowSlug: 'default-invalidation-flow',
    })
    await createApplication(tx, core, {
      name: 'Demo',
      slug,
      provider: provider.pk,
      meta_description: 'Shows who you are, from the identity headers it receives',
      meta_publisher: 'Postern',
    })
    const outpost = await createOutpost(tx, core, {
      name: 'Standalone',
      type: 'proxy',
      providers: [provider.pk],
      config: { authentik_host: core.baseUrl.origin, session_backend: 'postgres' },
    })
    await attachProviders(tx, core, await ensureEmbeddedOutpost(tx, core), [provider.pk])
    return { provider: provider.pk, outpost: outpost.id, ...hosts }
  })
  data.write(file, JSON.stringify(remembered))
  return remembered.outpost
}
