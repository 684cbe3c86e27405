// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

/**
 * The last one that carries hypercalls out: it has an answer for the guest to anything. Any thread.
 */
public interface FinalTier {
    /** H_PUT_TCE. */
    HcallResult put(long liobn, long ioba, long tce);

    /** H_PUT_TCE_INDIRECT. */
    HcallResult putIndirect(long liobn, long ioba, long list, long count);

    /** H_STUFF_TCE. */
    HcallResult stuff(long liobn, long ioba, long tce, long count);

    /** H_GET_TCE. */
    HcallResult get(long liobn, long ioba, TceValue value);
}
