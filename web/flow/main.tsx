import './flow.css'
import { createRoot } from 'react-dom/client'
import { readPage } from '../shared/page.ts'
import { Theme } from '../shared/theme.tsx'
import { Crash } from './crash.tsx'
import { Flow } from './flow.tsx'

const page = readPage()
const root = document.getElementById('root')
if (root !== null) {
  const onUncaughtError = () => setTimeout(() => react.render(<Crash page={page} />))
  const react = createRoot(root, { onUncaughtError })
  react.render(
    <Theme page={page}>
      <Flow page={page} />
    </Theme>,
  )
}
