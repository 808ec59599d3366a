/** A dialog in the house's look. When it is closed the focus is where it was, so that a hand on the keyboard goes on from there. */
import { Modal, type ModalProps } from "@mantine/core";
import { useEffect, useState } from "react";
import { useT } from "../i18n";

export function Dialog({ children, ...props }: Omit<ModalProps, "opened">) {
  const t = useT();
  // Taken while drawing: when effects run, the focus is in the dialog already.
  const [before] = useState(() => document.activeElement);
  useEffect(
    () => () => {
      // The dialog gives up the focus while it is taken away, after this.
      setTimeout(() => {
        const isElsewhere = document.activeElement !== document.body && document.activeElement !== null;
        if (!isElsewhere && before instanceof HTMLElement && before.isConnected) before.focus();
      }, 0);
    },
    [before],
  );
  return (
    <Modal opened shadow="none" transitionProps={{ duration: 0 }} closeButtonProps={{ "aria-label": t("close") }} {...props}>
      {children}
    </Modal>
  );
}
