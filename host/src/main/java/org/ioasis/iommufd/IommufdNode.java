// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What stands at {@code /dev/iommu}: each open makes a context of its own; pages are held for all
 * of them together. Any thread.
 */
public final class IommufdNode {
    /**
     * Most mappings of all contexts together: they cost our memory although no page is held for
     * them as long as there is no page table.
     */
    static final int MAPPING_LIMIT = 1 << 21;

    private final PhysicalMemory memory = new PhysicalMemory();
    private final TableBudget tables;
    private final AtomicInteger contexts = new AtomicInteger();
    private final AtomicInteger mappings = new AtomicInteger();
    private final int mappingLimit;
    private final @Nullable TestCommands commands;
    private final boolean hasKernelQuirks;
    private final long pageRequestDeadline;
    private final LongSupplier pageRequestClock;
    private volatile int temporaryMemory = PageBatch.DEFAULT_LIMIT;

    private IommufdNode(Builder options) {
        commands = options.commands;
        tables = new TableBudget(options.tableLimit);
        mappingLimit = options.mappingLimit;
        hasKernelQuirks = options.hasKernelQuirks;
        pageRequestDeadline = options.pageRequestDeadline;
        pageRequestClock = options.pageRequestClock;
    }

    /** Options one by one, beginning with the usual ones. */
    public static Builder builder() {
        return new Builder();
    }

    /** How a node is: as embedders want it, unless told otherwise. One thread. */
    public static final class Builder {
        private @Nullable TestCommands commands;
        private long tableLimit = TableBudget.LIMIT;
        private int mappingLimit = MAPPING_LIMIT;
        private boolean hasKernelQuirks;
        private long pageRequestDeadline;
        private LongSupplier pageRequestClock = System::nanoTime;

        private Builder() {}

        /** What its ioctl of tests does; it has none otherwise. */
        public Builder commands(TestCommands value) {
            commands = value;
            return this;
        }

        /** Most mappings of all contexts together. */
        public Builder mappingLimit(int value) {
            mappingLimit = value;
            return this;
        }

        /** Most bytes of page tables of all contexts together. */
        public Builder tableLimit(long value) {
            tableLimit = value;
            return this;
        }

        /** Whether it answers as Linux does also where that is a mistake. */
        public Builder kernelQuirks(boolean value) {
            hasKernelQuirks = value;
            return this;
        }

        /**
         * Answers groups of page requests as invalid that nobody has answered for so long: looked
         * at with each use of a fault queue and by {@link IommufdContext#expirePageRequests}. As in
         * Linux there is no such time otherwise.
         *
         * @param nanos at least 1
         * @param nanoClock as {@link System#nanoTime}
         */
        public Builder pageRequestDeadline(long nanos, LongSupplier nanoClock) {
            if (nanos < 1) {
                throw new IllegalArgumentException("a deadline of " + nanos + " ns");
            }
            pageRequestDeadline = nanos;
            pageRequestClock = nanoClock;
            return this;
        }

        public IommufdNode build() {
            return new IommufdNode(this);
        }
    }

    /** Opens it. */
    public OpenFile open(Caller caller) throws IommufdException {
        caller.failures().allocate();
        return openContext();
    }

    /** Opens it without a program. */
    public IommufdContext openContext() {
        contexts.incrementAndGet();
        return new IommufdContext(this);
    }

    void closed() {
        contexts.decrementAndGet();
    }

    PhysicalMemory memory() {
        return memory;
    }

    /** Memory of page tables. */
    public TableBudget tables() {
        return tables;
    }

    @Nullable TestCommands commands() {
        return commands;
    }

    /** Whether it answers as Linux does also where that is a mistake. */
    boolean hasKernelQuirks() {
        return hasKernelQuirks;
    }

    /** How long a group of page requests may be without an answer, in nanoseconds; 0: for ever. */
    long pageRequestDeadline() {
        return pageRequestDeadline;
    }

    LongSupplier pageRequestClock() {
        return pageRequestClock;
    }

    /** Contexts that are open. */
    public int openContexts() {
        return contexts.get();
    }

    /** Mappings of all contexts, each copy one of its own. */
    public int mappings() {
        return mappings.get();
    }

    /** More mappings are wanted. */
    void takeMappings(int more) throws IommufdException {
        if (mappings.addAndGet(more) > mappingLimit) {
            giveBackMappings(more);
            throw new IommufdException(
                    Errno.ENOMEM, "the limit of mappings of all programs is reached");
        }
    }

    void giveBackMappings(int fewer) {
        mappings.addAndGet(-fewer);
    }

    /** Pages that are held, each counted as often as it is held. */
    public long heldPages() {
        return memory.held();
    }

    /**
     * Holds pages that lie side by side in a source, as many of them as can have addresses that
     * follow each other. Charges nobody.
     *
     * @param offset of the first, a multiple of 4 KiB
     * @param pages most of them, at least 1
     * @return the address of the first in page tables; how many there are is {@link
     *     #pagesTogether}; -1: no address is free
     */
    public long hold(PageSource source, long offset, long pages) {
        return memory.hold(source, offset, Math.min(pages, pagesTogether(offset)));
    }

    /** Most pages from an offset on that {@link #hold} takes at once. */
    public static long pagesTogether(long offset) {
        return PhysicalMemory.pagesInBlock(offset);
    }

    /** Gives back pages that {@link #hold} has held. */
    public void giveBack(long address, long pages) {
        memory.release(address, pages);
    }

    /** How often a page is held. */
    public int holds(PageSource source, long offset) {
        return memory.count(source, offset);
    }

    /** The address that a held page has in page tables; -1: it is not held. */
    public long addressOf(PageSource source, long offset) {
        return memory.find(source, offset);
    }

    /**
     * For drivers of IOMMUs: hears which memory lies behind the addresses of held pages.
     *
     * @throws IllegalStateException some are held already
     */
    public void listen(HeldMemory listener) {
        memory.listen(listener);
    }

    /** The most memory that one filling of page tables takes for a while, in bytes. */
    public void temporaryMemory(int bytes) {
        temporaryMemory = bytes;
    }

    int temporaryMemory() {
        return temporaryMemory;
    }
}
