import type { PageData } from '../../src/wire/page.ts'
import { Theme } from '../shared/theme.tsx'
import { Doorway } from './doorway.tsx'
import { Failure } from './failure.tsx'
import { startAgainUrl } from './leave.ts'

/** Shown in place of everything when this page itself fails, so that nobody looks at an empty one. */
export function Crash({ page }: { page: PageData }) {
  return (
    <Theme page={page}>
      <Doorway page={page} info={undefined} busy={false}>
        <Failure
          title="This page failed"
          message="The server sent something this page cannot show. Starting again often helps."
          requestId=""
          startAgain={startAgainUrl(undefined)}
        />
      </Doorway>
    </Theme>
  )
}
