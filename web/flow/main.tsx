import { createRoot } from 'react-dom/client'
import { readPage } from '../shared/page.ts'
import { Theme } from '../shared/theme.tsx'
import { Flow } from './flow.tsx'
import './flow.css'

const page = readPage()
const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <Theme page={page}>
      <Flow page={page} />
    </Theme>,
  )
}
