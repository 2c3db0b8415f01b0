// The same, asked in a terminal.
import { useState } from 'react'
import { Button } from 'react-aria-components/Button'

export function Command({ text, about = 'In a terminal' }: { text: string; about?: string }) {
  const [copied, set] = useState(false)
  const copy = () => {
    void navigator.clipboard?.writeText(text).then(() => { set(true); setTimeout(() => set(false), 1500) })
  }
  return (
    <div className="command">
      <span className="command-about">{about}</span>
      <code tabIndex={0}>{text}</code>
      <Button className="button small" onPress={copy} aria-label="Copy the command">{copied ? 'Copied' : 'Copy'}</Button>
    </div>
  )
}

// quote makes one word of a shell.
export function quote(s: string): string {
  return /^[\w%+,./:=@-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`
}
