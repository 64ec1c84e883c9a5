// The official API client of the reference product, and what an administrator does with it in these tests.
import {
  Configuration,
  CoreApi,
  FlowsApi,
  OutpostsApi,
  OutpostTypeEnum,
  ProvidersApi,
  type ProxyMode,
} from '@goauthentik/api'

export interface OfficialClient {
  core: CoreApi
  flows: FlowsApi
  outposts: OutpostsApi
  providers: ProvidersApi
}

/** @param url of Core @param token API token */
export function officialClient(url: string, token: string): OfficialClient {
  const configuration = configurationOf(url, token)
  return {
    core: new CoreApi(configuration),
    flows: new FlowsApi(configuration),
    outposts: new OutpostsApi(configuration),
    providers: new ProvidersApi(configuration),
  }
}

export function configurationOf(url: string, token: string): Configuration {
  return new Configuration({
    basePath: `${url}/api/v3`,
    accessToken: token,
    middleware: [{ post: refusalsInWords }],
  })
}

/** The client's own error says only that there was one. */
async function refusalsInWords({ url, response }: { url: string; response: Response }): Promise<void> {
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
}

export interface NewApplication {
  slug: string
  externalHost: string
  internalHost?: string
  mode?: ProxyMode
  cookieDomain?: string
}

/** Creates a proxy provider with implicit consent and its application. @returns id of the provider */
export async function addApplication(client: OfficialClient, about: NewApplication): Promise<number> {
  const { slug, ...provider } = about
  const { pk } = await client.providers.providersProxyCreate({
    proxyProviderRequest: {
      name: slug,
      authorizationFlow: await flowId(client, 'default-provider-authorization-implicit-consent'),
      invalidationFlow: await flowId(client, 'default-invalidation-flow'),
      ...provider,
    },
  })
  await client.core.coreApplicationsCreate({ applicationRequest: { name: slug, slug, provider: pk } })
  return pk
}

/** Creates an outpost. @returns its id and its token */
export async function addOutpost(
  client: OfficialClient,
  name: string,
  providers: number[],
  config: Record<string, unknown>,
): Promise<{ pk: string; token: string }> {
  const outpostRequest = { name, type: OutpostTypeEnum.Proxy, providers, config }
  const { pk, tokenIdentifier } = await client.outposts.outpostsInstancesCreate({ outpostRequest })
  const { key } = await client.core.coreTokensViewKeyRetrieve({ identifier: tokenIdentifier })
  return { pk, token: key }
}

/** Gives providers to the embedded outpost. */
export async function giveToEmbedded(client: OfficialClient, providers: number[]): Promise<void> {
  const { results } = await client.outposts.outpostsInstancesList({
    managedIexact: 'goauthentik.io/outposts/embedded',
  })
  const [embedded] = results
  if (embedded === undefined) throw new Error('there is no embedded outpost')
  await client.outposts.outpostsInstancesPartialUpdate({
    uuid: embedded.pk,
    patchedOutpostRequest: { providers: [...embedded.providers, ...providers] },
  })
}

/** @throws Error when no flow has that slug */
export async function flowId({ flows }: OfficialClient, slug: string): Promise<string> {
  const { results } = await flows.flowsInstancesList({ slug })
  const [flow] = results
  if (flow === undefined) throw new Error(`there is no flow ${slug}`)
  return flow.pk
}
