import { Button } from 'react-aria-components/Button'
import { ListBox, ListBoxItem } from 'react-aria-components/ListBox'
import { Popover } from 'react-aria-components/Popover'
import { Label, Select, SelectValue } from 'react-aria-components/Select'

export function Choice({ label, value, options, onChange }: { label: string; value: string; options: Record<string, string>; onChange: (v: string) => void }) {
  return (
    <Select className="choice" selectedKey={value} onSelectionChange={k => onChange(String(k))}>
      <Label>{label}</Label>
      <Button className="choice-button"><SelectValue /><span aria-hidden="true" className="caret" /></Button>
      <Popover className="popover">
        <ListBox className="options">
          {Object.entries(options).map(([id, name]) => <ListBoxItem key={id} id={id} className="option" textValue={name}>{name}</ListBoxItem>)}
        </ListBox>
      </Popover>
    </Select>
  )
}
