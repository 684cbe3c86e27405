// SPDX-License-Identifier: Apache-2.0
package org.ioasis.compare.tables;

import java.util.HashSet;
import java.util.Set;
import java.util.function.Predicate;
import org.ioasis.iommu.iotlb.CachedTranslations;

/** A cache as the interface has it, without a limit: a set of what is in it. One thread. */
final class PlainCache implements CachedTranslations {
    /** Inclusive, unsigned. */
    record Entry(int domain, int space, int device, long first, long last) {
        boolean isIn(long from, long to) {
            return Long.compareUnsigned(first, to) <= 0 && Long.compareUnsigned(last, from) >= 0;
        }
    }

    private final Set<Entry> entries = new HashSet<>();

    void put(Entry entry) {
        entries.add(entry);
    }

    Set<Entry> entries() {
        return Set.copyOf(entries);
    }

    private long remove(Predicate<Entry> which) {
        int before = entries.size();
        entries.removeIf(which);
        return before - entries.size();
    }

    @Override
    public long all() {
        return remove(entry -> true);
    }

    @Override
    public long domain(int domain) {
        return remove(entry -> entry.domain == domain);
    }

    @Override
    public long firstStage(int domain) {
        return domain(domain);
    }

    @Override
    public long space(int domain, int space) {
        return remove(entry -> entry.domain == domain && entry.space == space);
    }

    @Override
    public long range(int domain, int space, long first, long last, int leafLg2) {
        return remove(entry ->
                entry.domain == domain
                        && entry.space == space
                        && entry.isIn(first, last)
                        && isOf(entry, leafLg2));
    }

    @Override
    public long everySpace(int domain, long first, long last, int leafLg2) {
        return remove(
                entry -> entry.domain == domain && entry.isIn(first, last) && isOf(entry, leafLg2));
    }

    private static boolean isOf(Entry entry, int leafLg2) {
        return leafLg2 == 0 || entry.last - entry.first == (1L << leafLg2) - 1;
    }
}
