// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import org.ioasis.iommu.mapping.Translation.Kind;

/**
 * Who keeps a copy of what an endpoint reaches: an assigned or a remote device, a container, a
 * recorder. It hears of everything that changes for its endpoint, in order and in batches: {@link
 * #begin}, what there is to tell, {@link #commit}. All on the machine's loop thread.
 *
 * <p>A batch counts from its commit and is answered once through its {@link Answer}, at once or
 * later (then on the loop thread as well). No other batch begins before, except that of a reset,
 * which nothing holds up. Requests to the same domain wait meanwhile, others do not; the listeners
 * of one domain work side by side. A MAP that one of them refuses is taken back from the others,
 * and the request fails with the status of the refusal. Taking away cannot be refused.
 *
 * <p>What is unmapped here is no longer found by the engine when a batch is committed, and a
 * request is answered after all answers: between the two no device may be told that it is gone.
 */
public interface DomainListener {
    /** Takes the answer to one batch. */
    interface Answer {
        /** All of it is done. */
        void ok();

        /**
         * Nothing of it is done and all is as it was before: only for a batch that adds something.
         *
         * @param status what the request is answered, not OK
         */
        void refused(Status status);

        /**
         * It is neither done nor as before: for a batch that moves the endpoint to another domain.
         * The endpoint is detached, which the listener hears in another batch.
         */
        void lost();

        /**
         * Something in {@code first..last} has been written that is now unmapped, or was asked for.
         * Before {@link #ok}.
         */
        void dirtied(long first, long last);
    }

    /**
     * Whether what is mapped already is told mapping by mapping, instead of in runs: for who cannot
     * take a part of a run away later.
     */
    default boolean hearsEachMapping() {
        return false;
    }

    /** A batch begins. */
    void begin();

    /**
     * All that was told of before is void: the endpoint now reaches memory by this kind. With
     * {@link Kind#MAPPED} what is mapped follows.
     */
    void translation(Kind kind);

    /**
     * {@code first..last} now leads to {@code output} and on, with {@code flags} ({@code
     * MapFlags}).
     */
    void mapped(long first, long last, long output, int flags);

    /**
     * {@code first..last}, a run told of before or the whole mappings of a part of one, is no more.
     */
    void unmapped(long first, long last);

    /** The batch is complete. */
    void commit(Answer answer);
}
