// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/**
 * An endpoint that keeps a copy of its domain's mappings elsewhere: an assigned or a remote device.
 * It hears of every MAP and UNMAP in order, before the driver is answered, one call per merged run;
 * of all runs when it is attached, and of their end when it is detached. All on the machine's loop
 * thread.
 *
 * <p>Each call is answered once through its {@link Answer}, at once or later (then on the loop
 * thread as well). Requests to the same domain wait meanwhile, others do not. A MAP that one
 * listener refuses is taken back from those that took it, and the request fails with the listener's
 * status. Taking a mapping away cannot be refused. A listener that will not take back what a
 * failing ATTACH had taken from it is cleared and its endpoint detached; that ATTACH is answered
 * DEVERR.
 */
public interface DomainListener {
    /** Takes the answer to one call. */
    interface Answer {
        void ok();

        /**
         * Only for {@link #mapped}: the listener has kept nothing of the run. {@code status} is not
         * OK.
         */
        void refused(Status status);
    }

    /**
     * {@code first..last} now leads to {@code output} and on, with {@code flags} ({@code
     * MapFlags}).
     */
    void mapped(long first, long last, long output, int flags, Answer answer);

    /**
     * {@code first..last}, a run told of before or the whole mappings of a part of one, is no more.
     */
    void unmapped(long first, long last, Answer answer);

    /**
     * Everything is gone at once: the IOMMU was reset. Answers that are still owed are no longer
     * expected.
     */
    void cleared();
}
