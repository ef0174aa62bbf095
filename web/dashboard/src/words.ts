// Words in the reader's language. English texts are the keys; the German ones are loaded when they are needed.
import { signal } from "@preact/signals";
import { remember, remembered } from "./storage";

export type Language = "en" | "de";

const kept = remembered("dewpond.language");
export const language = signal<Language>(kept === "de" || (!kept && navigator.language.startsWith("de")) ? "de" : "en");
const german = signal<Record<string, string>>({});

/** Loads the words of the language, which the page waits for before it shows any. */
export async function loadWords(): Promise<void> {
  document.documentElement.lang = language.value;
  if (language.value === "de") german.value = (await import("./words/de")).words;
}

export async function setLanguage(to: Language): Promise<void> {
  remember("dewpond.language", to);
  language.value = to;
  await loadWords();
}

/** A text in the reader's language, with `{name}` replaced by values. */
export function t(text: string, values: Record<string, string | number> = {}): string {
  const words = (language.value === "de" && german.value[text]) || text;
  return words.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}
