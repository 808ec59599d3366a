/** `?`: what the keyboard and the mouse can do. */
import { type Key, useT } from "../i18n";
import { Dialog } from "../parts/Dialog";

const KEYS: readonly (readonly [string, Key])[] = [
  ["Ctrl K", "keySearch"],
  ["/", "keyFilter"],
  ["g h", "keyHosts"],
  ["g e", "keyExplore"],
  ["g a", "keyAlerts"],
  ["g t", "keyTargets"],
  ["g d", "keyDiscovery"],
  ["g r", "keyRules"],
  ["g s", "keyStatus"],
  ["g c", "keyCardinality"],
  ["j k", "keyWalk"],
  ["s", "keySilence"],
  ["x", "keySelect"],
  ["u", "keyAck"],
  ["Enter", "keyOpen"],
  ["← →", "keyCrosshair"],
  ["?", "keyHelp"],
];
const MOUSE: readonly (readonly [Key, Key])[] = [
  ["mouseDrag", "mouseDragDoes"],
  ["mouseShift", "mouseShiftDoes"],
  ["mouseDouble", "mouseDoubleDoes"],
  ["mouseClick", "mouseClickDoes"],
  ["mouseLegend", "mouseLegendDoes"],
];

export default function Help({ onClose }: { onClose: () => void }) {
  const t = useT();
  return (
    <Dialog onClose={onClose} title={t("help")} size={560}>
      <table className="keys" data-testid="help">
        <tbody>
          {KEYS.map(([k, word]) => (
            <tr key={k}>
              <th scope="row"><kbd>{k}</kbd></th>
              <td>{t(word)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{t("onGraphs")}</h3>
      <table className="keys">
        <tbody>
          {MOUSE.map(([k, word]) => (
            <tr key={k}>
              <th scope="row">{t(k)}</th>
              <td>{t(word)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
