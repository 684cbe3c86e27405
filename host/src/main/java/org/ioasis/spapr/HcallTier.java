// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

/**
 * One that carries hypercalls out if it can. It answers a code of the guest's, or {@link
 * #TOO_HARD}: then the next one carries out the whole call again, and what this one has done must
 * not be in its way. Any thread.
 */
interface HcallTier {
    /** The next tier shall do it; never seen by a guest. */
    long TOO_HARD = 9999;

    /** H_PUT_TCE. */
    long put(long liobn, long ioba, long tce);

    /** H_PUT_TCE_INDIRECT. */
    long putIndirect(long liobn, long ioba, long list, long count);

    /** H_STUFF_TCE. */
    long stuff(long liobn, long ioba, long tce, long count);

    /** H_GET_TCE. */
    long get(long liobn, long ioba, TceValue value);
}
