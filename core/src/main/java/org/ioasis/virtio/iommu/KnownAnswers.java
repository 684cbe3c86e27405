// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu;

import java.util.Arrays;
import org.ioasis.iommu.Status;
import org.ioasis.virtqueue.Chain;
import org.jspecify.annotations.Nullable;

/**
 * Of each entry of a log of chains the last answer, by the number of its chain: one that is taken
 * again was carried out if its number is here. Device's thread. Nothing is allocated once it is
 * made.
 */
final class KnownAnswers {
    private final long[] numbers = new long[VirtioIommuDevice.QUEUE_SIZE_MAX];
    private final Status[] answers = new Status[VirtioIommuDevice.QUEUE_SIZE_MAX];
    private long lastNumber;

    /** The answer that the request was given; null if none is known. */
    @Nullable Status of(RequestSlot slot) {
        return switch (slot.type) {
            case ATTACH, DETACH, MAP, UNMAP -> of(slot.chain());
            // No answer of theirs is kept.
            case PROBE, ATTACH_TABLE, INVALIDATE, PAGE_RESPONSE, UNKNOWN -> null;
        };
    }

    private @Nullable Status of(Chain chain) {
        long wanted = chain.number();
        int at = chain.entry();
        return wanted != 0 && numbers[at] == wanted ? answers[at] : null;
    }

    void remember(int entry, long number, Status status) {
        numbers[entry] = number;
        answers[entry] = status;
        noteNumber(number);
    }

    void noteNumber(long number) {
        lastNumber = Math.max(lastNumber, number);
    }

    /** Higher than the number of any chain that was heard of; at least 1. */
    long nextNumber() {
        return lastNumber + 1;
    }

    int entries() {
        return numbers.length;
    }

    /** The number of the chain whose answer is known at an entry; 0 if none is. */
    long number(int entry) {
        return numbers[entry];
    }

    Status answer(int entry) {
        return answers[entry];
    }

    /** None is known; numbers are not used again. */
    void forget() {
        Arrays.fill(numbers, 0);
    }
}
