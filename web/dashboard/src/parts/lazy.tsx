// A part of the page whose code is loaded when it is first shown.
import type { ComponentType, FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Refusal } from "../api";
import { t } from "../words";
import { Skeleton, Trouble } from "./states";

export function lazy<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): FunctionComponent<P> {
  let found: ComponentType<P> | undefined;
  return function Lazy(props: P) {
    const [part, setPart] = useState<{ is?: ComponentType<P>; error?: boolean }>({ is: found });
    const [tries, setTries] = useState(0);
    useEffect(() => {
      if (part.is) return;
      let isGone = false;
      load().then(
        (module) => {
          found = module.default;
          if (!isGone) setPart({ is: module.default });
        },
        () => !isGone && setPart({ error: true }),
      );
      return () => {
        isGone = true;
      };
    }, [tries]);
    if (part.error) {
      // The server may have been updated since this page was opened: its files have other names then.
      return <Trouble error={new Refusal(404, t("This part could not be loaded. Reload the page."))} again={() => { setPart({}); setTries(tries + 1); }} />;
    }
    return part.is ? <part.is {...props} /> : <Skeleton />;
  };
}
