/** The query field while the real editor is on its way: same look, no completion. */
export interface EditorProps {
  value: string;
  onChange: (text: string) => void;
  /** With the text to run. */
  onRun: (text: string) => void;
  label: string;
}

export function PlainEditor({ value, onChange, onRun, label }: EditorProps) {
  return (
    <textarea
      className="editor plain mono"
      rows={1}
      value={value}
      aria-label={label}
      spellCheck={false}
      onChange={(e) => onChange(e.target.value)}
      onKeyDown={(e) => {
        if (e.key === "Enter" && !e.shiftKey) {
          e.preventDefault();
          onRun(e.currentTarget.value);
        }
      }}
    />
  );
}
