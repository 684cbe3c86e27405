// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vtd;

import org.ioasis.spec.VtdTables;

/** Why a request has no translation, each with its fault reason (VT-d, 7.1.3). Any thread. */
public enum VtdRefusal {
    ROOT_UNREADABLE(VtdTables.REASON_ROOT_UNREADABLE),
    ROOT_ABSENT(VtdTables.REASON_ROOT_ABSENT),
    ROOT_RESERVED(VtdTables.REASON_ROOT_RESERVED),
    CONTEXT_UNREADABLE(VtdTables.REASON_CONTEXT_UNREADABLE),
    CONTEXT_ABSENT(VtdTables.REASON_CONTEXT_ABSENT),
    CONTEXT_INVALID(VtdTables.REASON_CONTEXT_INVALID),
    CONTEXT_RESERVED(VtdTables.REASON_CONTEXT_RESERVED),

    /** A PASID in legacy mode. */
    UNSUPPORTED_REQUEST(VtdTables.REASON_UNSUPPORTED_REQUEST),
    SCALABLE_ROOT_UNREADABLE(VtdTables.REASON_SCALABLE_ROOT_UNREADABLE),
    SCALABLE_ROOT_ABSENT(VtdTables.REASON_SCALABLE_ROOT_ABSENT),
    SCALABLE_CONTEXT_UNREADABLE(VtdTables.REASON_SCALABLE_CONTEXT_UNREADABLE),
    SCALABLE_CONTEXT_ABSENT(VtdTables.REASON_SCALABLE_CONTEXT_ABSENT),
    PASID_NOT_ENABLED(VtdTables.REASON_PASID_NOT_ENABLED),
    PASID_TOO_LARGE(VtdTables.REASON_PASID_TOO_LARGE),
    DIRECTORY_UNREADABLE(VtdTables.REASON_DIRECTORY_UNREADABLE),
    DIRECTORY_ABSENT(VtdTables.REASON_DIRECTORY_ABSENT),
    PASID_UNREADABLE(VtdTables.REASON_PASID_UNREADABLE),
    PASID_ABSENT(VtdTables.REASON_PASID_ABSENT),
    PASID_INVALID(VtdTables.REASON_PASID_INVALID),

    /** A privileged request, and the entry lets none through (SRE). */
    SUPERVISOR(VtdTables.REASON_SUPERVISOR);

    private final int reason;

    VtdRefusal(int reason) {
        this.reason = reason;
    }

    /** As a fault record has it. */
    public int reason() {
        return reason;
    }
}
