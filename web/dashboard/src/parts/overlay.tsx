// What lies over the page: menus and dialogs.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { t } from "../words";
import { Icon } from "./icon";

/** A button that opens a list below itself. Escape, a click elsewhere and a choice close it. */
export function Menu(props: {
  label: ComponentChildren;
  title?: string;
  class?: string;
  alignsRight?: boolean;
  children: (close: () => void) => ComponentChildren;
}) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!isOpen) return;
    const outside = (event: Event) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [isOpen]);
  const close = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Escape" && isOpen) {
      event.stopPropagation();
      close();
    }
    if (!isOpen || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    const items = [...(root.current?.querySelectorAll<HTMLElement>(".menu-list button, .menu-list a, .menu-list input") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
    event.preventDefault();
  };
  return (
    <div class={`menu ${props.class ?? ""}`} ref={root} onKeyDown={keys}>
      <button type="button" class="button" aria-expanded={isOpen} aria-controls={id} title={props.title} onClick={() => setOpen(!isOpen)}>
        {props.label}
        <Icon name="down" size={16} />
      </button>
      {isOpen && (
        <div class={`menu-list ${props.alignsRight ? "right" : ""}`} id={id}>
          {props.children(close)}
        </div>
      )}
    </div>
  );
}

export function MenuItem(props: { isChosen?: boolean; hint?: string; onClick: () => void; children: ComponentChildren }) {
  return (
    <button type="button" class="menu-item" aria-pressed={props.isChosen} onClick={props.onClick}>
      <span>{props.children}</span>
      {props.hint && <kbd>{props.hint}</kbd>}
      {props.isChosen && <Icon name="check" size={16} />}
    </button>
  );
}

/** A window over the page. It is there as long as it is rendered. */
export function Dialog(props: { title: string; isWide?: boolean; onClose: () => void; children: ComponentChildren; actions?: ComponentChildren }) {
  const root = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    root.current?.showModal();
  }, []);
  return (
    <dialog
      ref={root}
      class={`dialog ${props.isWide ? "wide" : ""}`}
      aria-labelledby={id}
      onClose={props.onClose}
      onClick={(event) => event.target === root.current && root.current?.close()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={id}>{props.title}</h2>
          {props.actions}
          <button type="button" class="button quiet square" aria-label={t("Close")} onClick={() => root.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
