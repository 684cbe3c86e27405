// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.S_DEVERR;
import static org.ioasis.spec.VirtioIommu.S_FAULT;
import static org.ioasis.spec.VirtioIommu.S_INVAL;
import static org.ioasis.spec.VirtioIommu.S_IOERR;
import static org.ioasis.spec.VirtioIommu.S_NOENT;
import static org.ioasis.spec.VirtioIommu.S_NOMEM;
import static org.ioasis.spec.VirtioIommu.S_RANGE;
import static org.ioasis.spec.VirtioIommu.S_UNSUPP;

import org.ioasis.virtio.driver.DriverException;

/** The device answered a request with something else than OK: it was not carried out. */
public final class RefusedException extends DriverException {
    private static final long serialVersionUID = 1;

    /** As {@link #status}: the used length had no room for a status (5.13.6.2). */
    public static final int NOT_ANSWERED = -1;

    private final int status;

    RefusedException(String request, int status) {
        super(request + ": " + text(status));
        this.status = status;
    }

    /** What the device said, {@code 0..255}, or {@link #NOT_ANSWERED}. */
    public int status() {
        return status;
    }

    private static String text(int status) {
        return switch (status) {
            case NOT_ANSWERED -> "given back without an answer";
            case S_IOERR -> "IOERR";
            case S_UNSUPP -> "UNSUPP";
            case S_DEVERR -> "DEVERR";
            case S_INVAL -> "INVAL";
            case S_RANGE -> "RANGE";
            case S_NOENT -> "NOENT";
            case S_FAULT -> "FAULT";
            case S_NOMEM -> "NOMEM";
            default -> "status " + status;
        };
    }
}
