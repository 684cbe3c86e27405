// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.List;

/** A saved state was refused, and nothing has changed. Immutable. */
public final class RestoreException extends Exception {
    private static final int SHOWN = 20;

    private final List<String> reasons;

    RestoreException(String reason) {
        this(List.of(reason));
    }

    RestoreException(List<String> reasons) {
        super("not restored: " + text(reasons));
        this.reasons = List.copyOf(reasons);
    }

    private static String text(List<String> reasons) {
        String shown = String.join("; ", reasons.subList(0, Math.min(SHOWN, reasons.size())));
        int more = reasons.size() - SHOWN;
        return more > 0 ? shown + "; and " + more + " more" : shown;
    }

    /** What differs, one thing each; or the one thing that is wrong with the bytes. */
    public List<String> reasons() {
        return reasons;
    }
}
