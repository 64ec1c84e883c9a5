// The envelope of every list: page numbers, 0 = none, never null and never an address.

import type { TSchema } from 'typebox'
import Type from 'typebox'
import { ApiError } from '../errors.ts'

export const defaultPageSize = 20
export const maximumPageSize = 100

/** Query parameters of every list, to be spread into a route's `querystring` object. */
export const pageQuery = {
  page: Type.Optional(Type.Integer({ minimum: 1 })),
  page_size: Type.Optional(Type.Integer({ minimum: 1 })),
  ordering: Type.Optional(Type.String()),
  search: Type.Optional(Type.String()),
}

export interface PageQuery {
  page?: number
  page_size?: number
}

/** limit and offset for a statement. */
export function pageWindow(query: PageQuery): { page: number; size: number; limit: number; offset: number } {
  const page = query.page ?? 1
  const size = Math.min(query.page_size ?? defaultPageSize, maximumPageSize)
  return { page, size, limit: size, offset: (page - 1) * size }
}

export function pageOf<T extends TSchema>(row: T) {
  const number = Type.Number()
  return Type.Object({
    pagination: Type.Object({
      next: number,
      previous: number,
      count: number,
      current: number,
      total_pages: number,
      start_index: number,
      end_index: number,
    }),
    results: Type.Array(row),
    autocomplete: Type.Object({}),
  })
}

/** @throws ApiError 404 for a page beyond the last */
export function pageBody<T>(query: PageQuery, count: number, results: T[]) {
  const { page, size, offset } = pageWindow(query)
  const totalPages = Math.max(1, Math.ceil(count / size))
  if (page > totalPages) throw new ApiError(404, 'Invalid page.')
  return {
    pagination: {
      next: page < totalPages ? page + 1 : 0,
      previous: page > 1 ? page - 1 : 0,
      count,
      current: page,
      total_pages: totalPages,
      start_index: results.length === 0 ? 0 : offset + 1,
      end_index: offset + results.length,
    },
    results,
    autocomplete: {},
  }
}
