// What browsers open: the shells of the flow page and the library, the ways in and out, and the files they load.
//
// Owns `/`, `/setup`, `/if/…`, `/flows/-/…`, `/application/launch/…`, `/static/dist/…` and the page for everything that is not there.
// What the pages show comes from the API.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { PageFlow } from '../../wire/page.ts'
import { loadSession } from '../access.ts'
import type { CoreApp } from '../app.ts'
import type { Core } from '../core.ts'
import { notFound } from '../errors.ts'
import { type Designation, defaultFlow } from '../flows/default-flow.ts'
import { findFlow } from '../flows/flows.sql.ts'
import { safeNext } from '../flows/next.ts'
import { dropPlans } from '../flows/plans.sql.ts'
import { findApplication } from '../policies/applications.sql.ts'
import { launchUrl } from '../policies/launch-url.ts'
import { remember } from '../remembered.ts'
import { ensureCsrfCookie } from '../sessions/login.ts'
import type { BrowserSession } from '../sessions/principal.ts'
import { type BrandRow, findBrand } from './brand.sql.ts'
import { hostnameOf, isKnownHost, unknownHost } from './known-host.ts'
import { answerBrowser, sendDenied, splitQuery } from './problem-page.ts'
import { createShells, type Shells } from './shell.ts'
import { createStaticFiles } from './static.ts'

const setupFlow = '/if/flow/initial-setup/'
const library = '/if/user/'

interface Pages {
  core: Core
  shells: Shells
}

type Handler = (
  pages: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
  brand: BrandRow | undefined,
) => Promise<FastifyReply>

export function registerPageRoutes(app: CoreApp, core: Core): void {
  const pages: Pages = { core, shells: createShells(core) }
  app.register(async scoped => {
    const scope = scoped as unknown as FastifyInstance
    scope.setErrorHandler((error, request, reply) => answerBrowser(core, error, request, reply))
    const config = { config: { access: 'public' as const } }
    const page = (path: string, handler: Handler) =>
      scope.get(path, config, async (request, reply) =>
        handler(pages, request, reply, await brandOfRequest(core, request)),
      )
    page('/', sendHome)
    page('/setup', async (_pages, _request, reply, brand) =>
      reply.redirect(brand?.setup_completed === false ? setupFlow : '/'),
    )
    page('/if/flow/:slug/', sendFlowPage)
    page('/if/user/', sendLibrary)
    page('/if/user/*', sendLibrary)
    page('/flows/-/default/:designation/', sendToDefaultFlow)
    page('/flows/-/cancel/', cancelFlow)
    page('/application/launch/:slug/', launchApplication)
    for (const path of [
      '/if/user',
      '/if/flow/:slug',
      '/application/launch/:slug',
      '/flows/-/default/:designation',
    ])
      scope.get(path, config, (request, reply) => reply.redirect(withSlash(request.url), 308))
    scope.get('/static/dist/*', config, createStaticFiles(core.webDirectory))
    scope.get('/robots.txt', config, (_request, reply) =>
      reply.type('text/plain').send('User-agent: *\nDisallow: /\n'),
    )
    scope.get('/*', config, (request, reply) => {
      if (request.url.startsWith('/api/') || !takesHtml(request)) return reply.callNotFound()
      throw notFound()
    })
  })
}

/** @throws ApiError 421 for a host that is not ours */
async function brandOfRequest(core: Core, request: FastifyRequest): Promise<BrandRow | undefined> {
  const { host } = request.client
  const name = hostnameOf(host)
  const find = () => findBrand(core.db, name)
  // Whether a brand makes this host ours is never a memory.
  if (isKnownHost(host, core.baseUrl, false))
    return (
      (await remember(core.memory, 'brands', `page ${name}`, async () => (await find()) ?? null)) ?? undefined
    )
  const brand = await find()
  if (!isKnownHost(host, core.baseUrl, brand?.matched === true)) throw unknownHost(core.baseUrl)
  return brand
}

async function sendHome(
  { core }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
  brand: BrandRow | undefined,
): Promise<FastifyReply> {
  reply.header('Cache-Control', 'no-store')
  if (brand?.setup_completed === false) return reply.redirect(setupFlow)
  const user = (await loadSession(core, request))?.principal?.user
  if (user === undefined) return reply.redirect('/flows/-/default/authentication/')
  if (user.type !== 'external') return reply.redirect(library)
  if (brand?.default_application != null)
    return reply.redirect(`/application/launch/${brand.default_application}/`)
  return sendDenied(reply, 'Your account has no start page here. Open the application you want to use.')
}

async function sendFlowPage(
  { core, shells }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
  brand: BrandRow | undefined,
): Promise<FastifyReply> {
  const slug = slugOf(request)
  const flow = await remember(core.memory, 'flows', slug, () => flowOfPage(core, slug))
  ensureCsrfCookie(core, request, reply)
  return shells.send(reply, { entry: 'flow/main.tsx', brand, flow })
}

/** What the page of a flow says before the flow itself is asked. @throws ApiError 404 */
async function flowOfPage(core: Core, slug: string): Promise<PageFlow> {
  const flow = await findFlow(core.db, { slug }, null, '')
  const over = flow?.setup_completed === true && flow.steps.some(step => step.type === 'initial_setup')
  if (flow === undefined || over) throw notFound()
  // Which application it is stands in the plan, so such a title comes with the challenge.
  const title = flow.title.includes('%(app)s') ? '' : flow.title
  return { slug, title, layout: flow.layout }
}

async function sendLibrary(
  { core, shells }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
  brand: BrandRow | undefined,
): Promise<FastifyReply> {
  const session = await loadSession(core, request)
  if (session === null || session.principal === null) return sendToLogin(reply, request.url)
  ensureCsrfCookie(core, request, reply)
  return shells.send(reply, { entry: 'user/main.tsx', brand })
}

const designations: readonly Designation[] = [
  'authentication',
  'invalidation',
  'recovery',
  'enrollment',
  'unenrollment',
]

async function sendToDefaultFlow(
  { core }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const asked = (request.params as { designation: string }).designation
  const designation = designations.find(known => known === asked)
  if (designation === undefined) throw notFound()
  const session = await loadSession(core, request)
  const slug = await defaultFlow(
    core.db,
    designation,
    hostnameOf(request.client.host),
    session?.principal ?? null,
  )
  if (slug === undefined) throw notFound()
  const [, query] = splitQuery(request.url)
  return reply.header('Cache-Control', 'no-store').redirect(`/if/flow/${slug}/${query}`)
}

/** @throws ApiError 404 for what can be no slug */
function slugOf(request: FastifyRequest): string {
  const { slug } = request.params as { slug: string }
  if (!/^[-a-zA-Z0-9_]{1,255}$/.test(slug)) throw notFound()
  return slug
}

/** Forgets how far the browser came, in the flow it goes back to, else in all. Another site cannot make it forget. */
async function cancelFlow(
  { core }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const session = await loadSession(core, request)
  const next = safeNext(firstText((request.query as Record<string, unknown>).next))
  const site = request.headers['sec-fetch-site']
  if (session !== null && site !== 'cross-site' && site !== 'same-site')
    await dropPlans(core.db, session.id, /^\/if\/flow\/([-a-zA-Z0-9_]+)\//.exec(next ?? '')?.[1] ?? null)
  return reply.header('Cache-Control', 'no-store').redirect(next ?? '/flows/-/default/invalidation/')
}

async function launchApplication(
  { core }: Pages,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const slug = slugOf(request)
  const session: BrowserSession | null = await loadSession(core, request)
  const principal = session?.principal ?? null
  if (principal === null) return sendToLogin(reply, request.url)
  const application = await findApplication(core.db, principal, slug)
  if (application === undefined) throw notFound()
  if (!application.open) return sendDenied(reply, `You do not have access to ${application.name}.`)
  const url = launchUrl(application, principal.user)
  if (url === null) return sendDenied(reply, `${application.name} has no address to open.`, 404)
  return reply.header('Cache-Control', 'no-store').redirect(url)
}

function sendToLogin(reply: FastifyReply, url: string): FastifyReply {
  const to = `/flows/-/default/authentication/?next=${encodeURIComponent(url)}`
  return reply.header('Cache-Control', 'no-store').redirect(to)
}

function takesHtml(request: FastifyRequest): boolean {
  return /text\/html|\*\/\*/.test(request.headers.accept ?? '')
}

function withSlash(url: string): string {
  const [path, query] = splitQuery(url)
  return `${path}/${query}`
}

function firstText(value: unknown): string {
  const first: unknown = Array.isArray(value) ? value[0] : value
  return typeof first === 'string' ? first : ''
}
