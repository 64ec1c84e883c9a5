import { useState } from 'react'
import { safeTarget } from '../shared/target.ts'
import { type Application, initialsOf, tileColour } from './applications.ts'

const tiles = 8

/** The address a card opens; undefined when a browser must not follow it. */
export function launchTarget(application: Application): string | undefined {
  if (application.launch_url === null || application.launch_url === '') return undefined
  return safeTarget(application.launch_url, location.origin) ?? undefined
}

/** One application: the whole card is its link. */
export function ApplicationCard({ application }: { application: Application }) {
  const newTab = application.open_in_new_tab
  return (
    <a
      className="card"
      href={launchTarget(application)}
      target={newTab ? '_blank' : undefined}
      rel={newTab ? 'noopener noreferrer' : undefined}
    >
      <Icon application={application} />
      <span className="card-text">
        <span className="card-name">
          {application.name}
          {newTab && (
            <>
              <svg viewBox="0 0 16 16" width="13" height="13" aria-hidden="true" focusable="false">
                <path
                  d="M9 3h4v4M13 3 7.5 8.5M7 4H3v9h9V9"
                  fill="none"
                  stroke="currentColor"
                  strokeWidth="1.5"
                />
              </svg>
              <span className="visually-hidden"> (opens in a new tab)</span>
            </>
          )}
        </span>
        {application.meta_description !== '' && (
          <span className="card-note">{application.meta_description}</span>
        )}
        {application.meta_publisher !== '' && <span className="card-note">{application.meta_publisher}</span>}
      </span>
    </a>
  )
}

function Icon({ application }: { application: Application }) {
  const [broken, setBroken] = useState(false)
  const url = application.meta_icon_url ?? ''
  if (url !== '' && !broken) {
    return (
      <img
        className="tile"
        src={url}
        alt=""
        width={52}
        height={52}
        loading="lazy"
        onError={() => setBroken(true)}
      />
    )
  }
  return (
    <span className="tile" data-colour={tileColour(application.name, tiles)} aria-hidden="true">
      {initialsOf(application.name)}
    </span>
  )
}
