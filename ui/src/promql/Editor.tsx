/**
 * The PromQL editor: CodeMirror with Prometheus' own language package. The biggest part of the page, so it is loaded
 * only by Explore. Completion asks this server.
 */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from "@codemirror/commands";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";
import { useEffect, useRef } from "react";
import { PREFIX } from "../api/client";
import { useT } from "../i18n";
import type { EditorProps } from "./PlainEditor";

const style = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], class: "tok-keyword" },
  { tag: tags.function(tags.variableName), class: "tok-function" },
  { tag: tags.standard(tags.variableName), class: "tok-function" },
  { tag: tags.labelName, class: "tok-label" },
  { tag: tags.string, class: "tok-string" },
  { tag: [tags.number, tags.unit], class: "tok-number" },
  { tag: tags.comment, class: "tok-comment" },
  { tag: tags.invalid, class: "tok-invalid" },
]);

export default function Editor({ value, onChange, onRun, label }: EditorProps) {
  const t = useT();
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | undefined>(undefined);
  const latest = useRef({ onChange, onRun });
  latest.current = { onChange, onRun };

  useEffect(() => {
    if (!host.current) return;
    const promql = new PromQLExtension().activateCompletion(true).activateLinter(true).setComplete({ remote: { url: PREFIX, cache: { maxAge: 60_000 } } });
    const editor = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: value,
        extensions: [
          Prec.highest(
            keymap.of([
              {
                key: "Enter",
                run: (v) => {
                  latest.current.onRun(v.state.doc.toString());
                  return true;
                },
                shift: insertNewlineAndIndent,
              },
            ]),
          ),
          // Enter takes the chosen completion first, if the list is open.
          Prec.highest(keymap.of(completionKeymap)),
          history(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false }),
          syntaxHighlighting(style),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
          placeholder(t("queryPlaceholder")),
          keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
          promql.asExtension(),
          EditorView.updateListener.of((u) => {
            if (u.docChanged) latest.current.onChange(u.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = editor;
    if (value === "") editor.focus();
    return () => {
      editor.destroy();
      view.current = undefined;
    };
  }, []);

  useEffect(() => {
    const v = view.current;
    if (v && v.state.doc.toString() !== value) v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: value } });
  }, [value]);

  return <div className="editor" ref={host} data-testid="editor" />;
}
