// The page after signing out of an application that named no other: what a user may do next.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { loadSession } from '../access.ts'
import { sendPage } from '../pages/page.ts'
import { launchUrl } from '../policies/launch-url.ts'
import { loadProvider } from './provider.ts'
import type { Oidc } from './room.ts'

/** Where the page is. @param slug of the application */
export function signedOutPath(slug: string): string {
  return `/application/o/${slug}/signed-out/`
}

/** GET /application/o/<slug>/signed-out/ */
export async function signedOut(
  oidc: Oidc,
  request: FastifyRequest<{ Params: { slug: string } }>,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { core } = oidc
  const provider = await loadProvider(core, core.db, { slug: request.params.slug })
  if (provider === undefined) return unknownApplication(reply)
  const session = await loadSession(core, request)
  const user = session?.principal?.user ?? null
  const { name, metaLaunchUrl } = provider.application
  const firstUri = provider.redirectUris.find(
    entry => entry.matching_mode === 'strict' && entry.redirect_uri_type === 'authorization',
  )
  const launch = launchUrl(
    {
      meta_launch_url: metaLaunchUrl,
      external_host: provider.externalHost,
      first_redirect_uri: firstUri?.url ?? null,
    },
    user,
  )
  return sendPage(reply, {
    status: 200,
    title: `You are signed out of ${name}`,
    paragraphs: [
      user === null
        ? 'Nobody is signed in here any more.'
        : `You are still signed in here as ${user.username}; other applications stay open.`,
    ],
    actions: [
      ...(launch === null ? [] : [{ label: `Open ${name} again`, href: launch, primary: user === null }]),
      ...(user === null
        ? [{ label: 'Sign in', href: '/' }]
        : [
            { label: 'Sign out of everything', href: '/flows/-/default/invalidation/', primary: true },
            { label: 'Your applications', href: '/if/user/' },
          ]),
    ],
  })
}

/** Answers 404 with a page. */
export function unknownApplication(reply: FastifyReply): FastifyReply {
  return sendPage(reply, {
    status: 404,
    title: 'No such application',
    paragraphs: ['No application is known here under this address.'],
    actions: [{ label: 'Your applications', href: '/if/user/' }],
  })
}
