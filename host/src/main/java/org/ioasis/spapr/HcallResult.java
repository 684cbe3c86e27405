// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.spec.SpaprTce;

/**
 * What a hypercall answers to a guest. That a call is too hard for a tier is none of these: it is
 * said between tiers only.
 */
public enum HcallResult {
    SUCCESS(SpaprTce.H_SUCCESS),
    /** The memory is being taken away. */
    CLOSED(SpaprTce.H_CLOSED),
    /** The host has no room. */
    HARDWARE(SpaprTce.H_HARDWARE),
    /** There is no such hypercall. */
    FUNCTION(SpaprTce.H_FUNCTION),
    PARAMETER(SpaprTce.H_PARAMETER);

    private final long code;

    HcallResult(long code) {
        this.code = code;
    }

    /** The code in the guest's register. */
    public long code() {
        return code;
    }
}
