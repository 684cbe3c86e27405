// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

/**
 * Takes the answer to one request, once, on the machine's loop thread; perhaps before the call
 * returns. After a {@linkplain Iommu#reset reset} a request that had not been answered may be
 * answered late or never.
 *
 * <p>Makes no request itself: several answers may be due in a row, and a request made between two
 * of them would overtake those that have been waiting for their turn.
 */
@FunctionalInterface
public interface Completion {
    void complete(Status status);

    /** As {@link #complete}, for a request that a check has refused and that changed nothing. */
    default void refused(Refusal refusal) {
        complete(refusal.status());
    }

    /**
     * The state has changed, the answer is known, and {@link #complete} follows when no access
     * under the old state is running any more: who saves the state in between has to keep the
     * answer.
     */
    default void settled(Status status) {}

    /**
     * An ATTACH that is about to be refused has taken the endpoint out of the domain it was in: the
     * one refusal that changes something.
     *
     * @param domain the domain's number
     */
    default void detached(int domain) {}
}
