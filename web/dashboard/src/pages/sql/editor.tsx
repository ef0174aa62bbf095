// The editor of SQL. Its styles are put into a shadow root as a constructed sheet, which the page's policy allows; a
// `<style>` it would not.
import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, highlightActiveLine, keymap, lineNumbers, type DecorationSet } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../../words";

export type Schema = Record<string, { name: string; type: string }[]>;

export interface EditorHandle {
  text: () => string;
  set: (text: string) => void;
  insert: (text: string) => void;
  /** Underlines where the query is wrong; undefined nowhere. */
  mark: (at: { line: number; column: number } | undefined) => void;
}

const setMark = StateEffect.define<{ from: number; to: number } | undefined>();
const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(old, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setMark)) return effect.value ? Decoration.set([Decoration.mark({ class: "cm-wrong" }).range(effect.value.from, effect.value.to)]) : Decoration.none;
    }
    // What was wrong may be right as soon as somebody types.
    return transaction.docChanged ? Decoration.none : old;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--series-3)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--series-2)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--series-4)" },
  { tag: tags.comment, color: "var(--ink-3)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.standard(tags.name)], color: "var(--accent)" },
]);

const look = EditorView.theme({
  "&": { fontSize: "13.5px", color: "var(--ink)", backgroundColor: "var(--sunken)", borderRadius: "8px", border: "1px solid var(--line)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "1px" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "10px 0", caretColor: "var(--ink)", minHeight: "168px" },
  ".cm-scroller": { lineHeight: "1.6", maxHeight: "420px", fontFamily: "var(--mono)" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--ink-3)", border: "0" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground, ::selection": { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent) !important" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "8px", overflow: "hidden" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-wrong": { textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "4px" },
});

export default function Editor(props: { text: string; schema?: Schema; onChange: (text: string) => void; onRun: () => void; handle: (handle: EditorHandle | null) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const language = useRef(new Compartment());
  const view = useRef<EditorView>();

  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open" });
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: latest.current.text,
        extensions: [
          lineNumbers(), history(), bracketMatching(), closeBrackets(), autocompletion(), highlightActiveLine(), marks, look, syntaxHighlighting(colours), EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": t("Query") }),
          language.current.of(languageOf(latest.current.schema)),
          keymap.of([
            { key: "Mod-Enter", run: () => (latest.current.onRun(), true) },
            // Tab leaves the editor after Escape, as its manual advises.
            ...completionKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab,
          ]),
          EditorView.updateListener.of((update) => update.docChanged && latest.current.onChange(update.state.doc.toString())),
        ],
      }),
    });
    view.current = made;
    const replace = (from: number, to: number, insert: string) => {
      made.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length } });
      made.focus();
    };
    latest.current.handle({
      text: () => made.state.doc.toString(),
      set: (text) => replace(0, made.state.doc.length, text),
      insert: (text) => replace(made.state.selection.main.from, made.state.selection.main.to, text),
      mark: (at) => {
        const { doc } = made.state;
        if (!at || at.line > doc.lines) return made.dispatch({ effects: setMark.of(undefined) });
        const line = doc.line(at.line);
        const from = Math.min(line.from + at.column - 1, Math.max(line.from, line.to - 1));
        const word = /^\w+|^./.exec(line.text.slice(from - line.from))?.[0].length ?? 1;
        if (from + word > from && from < doc.length) made.dispatch({ effects: setMark.of({ from, to: Math.min(doc.length, from + word) }), selection: { anchor: from }, scrollIntoView: true });
      },
    });
    return () => {
      latest.current.handle(null);
      made.destroy();
    };
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(languageOf(props.schema)) });
  }, [props.schema]);
  return <div class="editor" ref={host} />;
}

const languageOf = (schema: Schema = {}) =>
  sql({ dialect: PostgreSQL, upperCaseKeywords: true, defaultTable: "events", schema: Object.fromEntries(Object.entries(schema).map(([name, columns]) => [name, columns.map((column) => ({ label: column.name, detail: column.type }))])) });
