// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.ioasis.host.IntervalTree;
import org.jspecify.annotations.Nullable;

/**
 * The pages of one mapping and of all its copies: each is held once, however many areas, page
 * tables and accesses use it. Where the address of a held page stands, in this order: with the
 * accesses, if one holds it; in the page table that an area names as its storage; nowhere, and then
 * it is not held and comes from its origin. Under its context's lock.
 */
final class Pages {
    /** What an access holds: users that hold the very same range share it. */
    private static final class Held {
        private int users;
    }

    private static final IntervalTree<Area> NOTHING_FILLED = new IntervalTree<>();
    private static final IntervalTree<Held> NOTHING_HELD = new IntervalTree<>();
    private static final PageNumbers NOTHING_KEPT = new PageNumbers();

    private final PhysicalMemory memory;
    private PageOrigin origin;
    private final boolean isWritable;
    private Owner owner;
    private Accounting accounting;

    /** The only area that page tables have, as with most mappings. */
    private @Nullable Area lone;

    /** Areas that page tables have, if they are more than one. */
    private IntervalTree<Area> filled = NOTHING_FILLED;

    // What most mappings never have: made when an access holds the first page.
    private IntervalTree<Held> accessed = NOTHING_HELD;
    private PageNumbers kept = NOTHING_KEPT;

    /** Those that show them, linked through the areas themselves. */
    private @Nullable Area areas;

    private long held;
    private long charged;
    private boolean isRevoked;
    private boolean isDiscarded;

    Pages(
            PhysicalMemory memory,
            PageOrigin origin,
            boolean isWritable,
            Owner owner,
            Accounting accounting) {
        this.memory = memory;
        this.origin = origin;
        this.isWritable = isWritable;
        this.owner = owner;
        this.accounting = accounting;
        if (origin instanceof PageOrigin.Buffer buffer) {
            buffer.buffer().add(this);
        }
    }

    boolean isWritable() {
        return isWritable;
    }

    PageOrigin origin() {
        return origin;
    }

    /** Pages that are held. */
    long held() {
        return held;
    }

    /** An area shows them; the first one comes with the mapping. */
    void use(Area area) {
        Area head = areas;
        area.following = head;
        if (head != null) {
            head.preceding = area;
        }
        areas = area;
    }

    private void unlink(Area area) {
        Area before = area.preceding;
        Area after = area.following;
        if (before == null) {
            areas = after;
        } else {
            before.following = after;
        }
        if (after != null) {
            after.preceding = before;
        }
        area.preceding = null;
        area.following = null;
    }

    /** The area is gone; the last one takes all of it. */
    void leave(Area area) {
        unlink(area);
        if (areas == null) {
            if (held != 0) {
                throw new IllegalStateException(held + " pages are held for nobody");
            }
            discard();
        }
    }

    /** Nothing shows them: a mapping was refused, or the last one is gone. */
    void discard() {
        if (!isDiscarded) {
            isDiscarded = true;
            if (origin instanceof PageOrigin.Buffer buffer) {
                buffer.buffer().remove(this);
            }
            origin.close();
        }
    }

    /**
     * Maps an area into page tables that do not have it; all of them, or none and nothing is held.
     *
     * @param isByPage each page is a mapping of its own, which can be unmapped without the others
     */
    void fill(
            Area area,
            List<HwPagingDomain> domains,
            boolean isByPage,
            PageBatch batch,
            FailureInjector failures)
            throws IommufdException {
        if (isRevoked) {
            return;
        }
        Filling filling = new Filling(area, domains, isByPage, batch, failures);
        try {
            filling.run();
            charge(failures);
        } catch (IommufdException e) {
            filling.undo();
            charge();
            throw e;
        }
        if (area.storage == null) {
            area.storage = domains.getFirst();
            addFilled(area);
        }
    }

    private void addFilled(Area area) {
        if (filled == NOTHING_FILLED) {
            Area one = lone;
            if (one == null) {
                lone = area;
                return;
            }
            filled = new IntervalTree<>();
            filled.insert(one.firstPage, one.lastPage(), one);
            lone = null;
        }
        filled.insert(area.firstPage, area.lastPage(), area);
    }

    private void removeFilled(Area area) {
        if (area.equals(lone)) {
            lone = null;
            return;
        }
        filled.remove(area.firstPage, area);
        if (filled.isEmpty()) {
            filled = NOTHING_FILLED;
        }
    }

    /** Of the areas that page tables have the first one with pages of a range. */
    private @Nullable Area filledAt(long first, long last) {
        Area one = lone;
        if (one != null) {
            return one.firstPage <= last && one.lastPage() >= first ? one : null;
        }
        int found = filled.overlapping(first, last);
        return found == IntervalTree.NONE ? null : filled.value(found);
    }

    /** Takes an area out of a page table; {@code others} have it too. */
    void unfill(Area area, HwPagingDomain domain, List<HwPagingDomain> others) {
        if (area.storage == null) {
            return;
        }
        if (domain.equals(area.storage)) {
            if (others.isEmpty()) {
                unfillAll(area, List.of(domain));
                return;
            }
            area.storage = others.getFirst();
        }
        domain.unmap(area.first, area.length());
    }

    /** Takes an area out of all page tables that have it and gives back what nobody needs now. */
    void unfillAll(Area area, List<HwPagingDomain> domains) {
        HwPagingDomain storage = area.storage;
        if (storage == null) {
            return;
        }
        for (HwPagingDomain domain : domains) {
            if (!domain.equals(storage)) {
                domain.unmap(area.first, area.length());
            }
        }
        removeFilled(area);
        area.storage = null;
        // First what can be read back, then out of the page table, then given back: a device must
        // not reach a page that is no longer held.
        HeldRuns unused = area.space.unused();
        unused.clear();
        unused(area.firstPage, area.lastPage(), new InStorage(area, storage), unused);
        storage.unmap(area.first, area.length());
        held -= unused.release(memory);
        charge();
    }

    /** One area becomes two, which together are what it was. */
    void split(Area area, Area low, Area high) {
        unlink(area);
        use(low);
        use(high);
        if (area.storage != null) {
            removeFilled(area);
            for (Area half : List.of(low, high)) {
                half.storage = area.storage;
                addFilled(half);
            }
        }
    }

    /** Where its first page begins in its origin, as the rules of alignment look at it. */
    long originFirst() {
        return origin.first();
    }

    /** Memory of a device is taken away: out of every page table. */
    void revoke() {
        for (Area area = areas; area != null; area = area.following) {
            area.space.unfill(area);
        }
        isRevoked = true;
    }

    /** Where held pages can be looked up. */
    private interface AddressOf {
        long of(long page);

        /** How many pages lie side by side from this one on, as far as one look tells. */
        default long pages(long page) {
            return 1;
        }
    }

    /** A page table that has an area: it tells a leaf at a time. */
    private record InStorage(Area area, HwPagingDomain storage) implements AddressOf {
        @Override
        public long of(long page) {
            return storage.toPhysical(area.iovaOf(page)) & -PhysicalMemory.PAGE;
        }

        @Override
        public long pages(long page) {
            long iova = area.iovaOf(page);
            long inPage = page == area.firstPage ? area.pageOffset : 0;
            return (inPage + storage.sideBySide(iova) + PhysicalMemory.PAGE - 1)
                    >>> PhysicalMemory.PAGE_LG2;
        }
    }

    /** Runs of pages that no area's storage and no access has. */
    private void unused(long first, long last, AddressOf address, HeldRuns into) {
        for (long page = first; page <= last; ) {
            int access = accessed.overlapping(page, last);
            Area area = filledAt(page, last);
            long spanLast = last;
            if (access != IntervalTree.NONE) {
                if (accessed.first(access) <= page) {
                    page = accessed.last(access) + 1;
                    continue;
                }
                spanLast = accessed.first(access) - 1;
            }
            if (area != null) {
                if (area.firstPage <= page) {
                    page = area.lastPage() + 1;
                    continue;
                }
                spanLast = Math.min(spanLast, area.firstPage - 1);
            }
            while (page <= spanLast) {
                long more = spanLast - page + 1;
                more = more == 1 ? 1 : Math.min(more, address.pages(page));
                into.add(address.of(page), more);
                page += more;
            }
        }
    }

    /**
     * Holds a range for an access; {@link #address} tells where its pages are.
     *
     * @param unused for what has to be given back
     */
    void hold(
            long first,
            long last,
            boolean isWrite,
            PageBatch batch,
            HeldRuns unused,
            FailureInjector failures)
            throws IommufdException {
        if (isWrite && !isWritable) {
            throw new IommufdException(Errno.EPERM, "the mapping's pages may not be written");
        }
        Held same = find(first, last);
        if (same != null) {
            same.users++;
            return;
        }
        failures.allocate();
        if (accessed == NOTHING_HELD) {
            accessed = new IntervalTree<>();
            kept = new PageNumbers();
        }
        long page = first;
        try {
            while (page <= last) {
                batch.clear();
                read(page, last, batch, failures);
                for (int run = 0; run < batch.runs(); run++) {
                    for (int i = 0; i < batch.pages(run); i++, page++) {
                        if (!kept.contains(page)) {
                            kept.put(
                                    page,
                                    batch.address(run) + ((long) i << PhysicalMemory.PAGE_LG2));
                        }
                    }
                }
            }
            charge(failures);
        } catch (IommufdException e) {
            drop(first, page - 1, unused);
            charge();
            throw e;
        }
        Held fresh = new Held();
        fresh.users = 1;
        accessed.insert(first, last, fresh);
    }

    /** An access that held exactly this range no longer does. */
    void unhold(long first, long last, HeldRuns unused) {
        Held same = find(first, last);
        if (same == null) {
            throw new IllegalStateException("pages %d..%d are not held".formatted(first, last));
        }
        if (--same.users == 0) {
            accessed.remove(first, same);
            drop(first, last, unused);
            charge();
        }
    }

    /** Takes from the accesses' storage what no access has, and gives back what no area has. */
    private void drop(long first, long last, HeldRuns unused) {
        unused.clear();
        unused(first, last, kept::get, unused);
        for (long page = first; page <= last; page++) {
            if (kept.contains(page) && !accessed.overlaps(page, page)) {
                kept.remove(page);
            }
        }
        held -= unused.release(memory);
    }

    private @Nullable Held find(long first, long last) {
        int node = accessed.find(first, last);
        return node == IntervalTree.NONE ? null : accessed.value(node);
    }

    /** Where a held page is, or -1. */
    long address(long page) {
        if (kept.contains(page)) {
            return kept.get(page);
        }
        Area area = filledAt(page, page);
        if (area == null) {
            return -1;
        }
        HwPagingDomain storage = area.storage;
        return storage == null ? -1 : new InStorage(area, storage).of(page);
    }

    /** Copies bytes of one page, held or not: 0 or a negative errno. */
    int copy(long page, long offset, MemorySegment buffer, long at, long length, boolean isWrite) {
        long address = address(page);
        if (address >= 0) {
            return isWrite
                    ? memory.write(address + offset, buffer, at, length)
                    : memory.read(address + offset, buffer, at, length);
        }
        PageRun run = isRevoked ? null : origin.run(page, 1, isWrite);
        if (run == null) {
            return -Errno.EFAULT.number();
        }
        return isWrite
                ? run.source().write(run.offset() + offset, buffer, at, length)
                : run.source().read(run.offset() + offset, buffer, at, length);
    }

    /**
     * Fills a batch from a page on, as far as it goes; what nobody holds is held, and is the
     * batch's until it is somebody's.
     */
    private void read(long page, long last, PageBatch batch, FailureInjector failures)
            throws IommufdException {
        while (page <= last) {
            if (kept.contains(page)) {
                if (!batch.add(kept.get(page), 1, false)) {
                    return;
                }
                page++;
                continue;
            }
            Area area = filledAt(page, last);
            if (area != null && area.firstPage <= page) {
                long more = shown(area, page, last);
                if (!batch.add(address(page), (int) more, false)) {
                    return;
                }
                page += more;
                continue;
            }
            long holeLast = area == null ? last : area.firstPage - 1;
            int access = accessed.overlapping(page, holeLast);
            if (access != IntervalTree.NONE) {
                holeLast = Math.min(holeLast, accessed.first(access) - 1);
            }
            long done = takeFresh(page, holeLast, batch, failures);
            if (done == 0) {
                return;
            }
            page += done;
        }
    }

    /** How many pages of an area's storage lie side by side from one on. */
    private static long shown(Area area, long page, long last) {
        HwPagingDomain storage = area.storage;
        long most = Math.min(Math.min(area.lastPage(), last) - page + 1, Integer.MAX_VALUE);
        return most == 1 || storage == null
                ? 1
                : Math.min(most, new InStorage(area, storage).pages(page));
    }

    /** Holds pages that lie side by side; how many, or 0 if the batch has no room. */
    private long takeFresh(long page, long last, PageBatch batch, FailureInjector failures)
            throws IommufdException {
        if (failures.fails()) {
            giveBackFresh(batch);
            throw new IommufdException(Errno.EFAULT, "injected failure of holding pages");
        }
        PageRun run = origin.run(page, last - page + 1, isWritable);
        if (run == null) {
            giveBackFresh(batch);
            throw new IommufdException(
                    Errno.EFAULT,
                    isWritable
                            ? "no memory of the program that it may write is there"
                            : "no memory of the program is there");
        }
        long pages =
                Math.min(
                        Math.max(1, run.length() >>> PhysicalMemory.PAGE_LG2),
                        Math.min(last - page + 1, PhysicalMemory.pagesInBlock(run.offset())));
        long address = memory.hold(run.source(), run.offset(), pages);
        if (address < 0) {
            giveBackFresh(batch);
            throw new IommufdException(Errno.ENOMEM, "no number is free for the pages");
        }
        if (!batch.add(address, (int) pages, true)) {
            memory.release(address, pages);
            return 0;
        }
        held += pages;
        return pages;
    }

    private void giveBackFresh(PageBatch batch) {
        for (int run = 0; run < batch.runs(); run++) {
            if (batch.isFresh(run)) {
                memory.release(batch.address(run), batch.pages(run));
                held -= batch.pages(run);
            }
        }
        batch.clear();
    }

    /** Charges what is held now; what is given back is never refused. */
    private void charge() {
        if (held > charged) {
            throw new IllegalStateException("what was held was not charged");
        }
        tryCharge(held - charged);
    }

    private void charge(FailureInjector failures) throws IommufdException {
        if (held != charged
                && ((held > charged && failures.fails()) || !tryCharge(held - charged))) {
            throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
        }
    }

    private boolean tryCharge(long pages) {
        if (!origin.mayBePinned()) {
            // Memory of a device is nobody's locked memory.
            charged += pages;
            return true;
        }
        if (!charge(owner.memory().locked(), pages)) {
            return false;
        }
        charged += pages;
        return true;
    }

    private boolean charge(LockedMemory account, long pages) {
        return charge(account, accounting, pages);
    }

    private static boolean charge(LockedMemory account, Accounting mode, long pages) {
        boolean fits =
                switch (mode) {
                    case NONE -> true;
                    case USER -> account.chargeUser(pages);
                    case PROCESS -> account.chargeProcess(pages);
                };
        if (fits) {
            account.pin(pages);
        }
        return fits;
    }

    /** Whether it is charged already. */
    boolean isOf(ProgramMemory process) {
        return owner.memory().equals(process);
    }

    /**
     * The first half of a change of process: the new one is charged, or not and nothing changed.
     */
    boolean chargeAlso(ProgramMemory process) {
        return charge(process.locked(), charged);
    }

    /** Takes back {@link #chargeAlso}. */
    void unchargeAlso(ProgramMemory process) {
        charge(process.locked(), -charged);
    }

    /** The second half: the process before is no longer charged. */
    void moveTo(ProgramMemory process) {
        charge(owner.memory().locked(), -charged);
        owner = new Owner(process, owner.mayLock());
    }

    /**
     * The pages of a mapping of VFIO are found elsewhere from now on, and the process that they are
     * found in is charged for them.
     */
    void move(Owner to, PageOrigin from) throws IommufdException {
        Accounting mode = to.mayLock() ? Accounting.NONE : Accounting.PROCESS;
        boolean stays =
                !origin.mayBePinned() || (to.memory().equals(owner.memory()) && mode == accounting);
        if (!stays) {
            if (!charge(to.memory().locked(), mode, charged)) {
                throw new IommufdException(Errno.ENOMEM, "the limit of locked memory is reached");
            }
            charge(owner.memory().locked(), -charged);
            accounting = mode;
        }
        owner = to;
        origin = from;
    }

    /** One filling of page tables with an area. */
    private final class Filling {
        private final Area area;
        private final List<HwPagingDomain> domains;
        private final boolean isByPage;
        private final PageBatch batch;
        private final FailureInjector failures;

        /** Where the present batch begins; without one, the first page that is in none yet. */
        private long batchFirst;

        /** The page table that gets the batch: those before have it, those behind do not. */
        private int index;

        /** The first page that this one does not have. */
        private long next;

        Filling(
                Area area,
                List<HwPagingDomain> domains,
                boolean isByPage,
                PageBatch batch,
                FailureInjector failures) {
            this.area = area;
            this.domains = domains;
            this.isByPage = isByPage;
            this.batch = batch;
            this.failures = failures;
            batchFirst = area.firstPage;
            next = area.firstPage;
            batch.clear();
        }

        void run() throws IommufdException {
            long last = area.lastPage();
            failures.allocate();
            while (batchFirst <= last) {
                batch.clear();
                read(batchFirst, last, batch, failures);
                for (index = 0; index < domains.size(); index++) {
                    next = batchFirst;
                    mapBatch(domains.get(index));
                }
                batchFirst += batch.total();
                batch.clear();
            }
        }

        private void mapBatch(HwPagingDomain domain) throws IommufdException {
            for (int run = 0; run < batch.runs(); run++) {
                long first = next;
                long end = first + batch.pages(run);
                long step = isByPage ? 1 : batch.pages(run);
                for (long page = first; page < end; page += step) {
                    long address = batch.address(run) + ((page - first) << PhysicalMemory.PAGE_LG2);
                    map(domain, page, page + step - 1, address);
                    next = page + step;
                }
            }
        }

        private void map(HwPagingDomain domain, long page, long lastPage, long address)
                throws IommufdException {
            long iova = area.iovaOf(page);
            domain.map(
                    iova,
                    address + (page == area.firstPage ? area.pageOffset : 0),
                    area.lastIovaOf(lastPage) - iova + 1,
                    area.isReadable,
                    area.isWritable,
                    failures);
        }

        /** Out of every page table again, and what was held for it is given back. */
        void undo() {
            HeldRuns fresh = area.space.unused();
            fresh.clear();
            if (batchFirst > area.firstPage) {
                HwPagingDomain one = domains.getFirst();
                unused(area.firstPage, batchFirst - 1, new InStorage(area, one), fresh);
            }
            for (int i = 0; i < domains.size(); i++) {
                long end = i == index ? next : batchFirst + (i < index ? batch.total() : 0);
                if (end > area.firstPage) {
                    domains.get(i).unmap(area.first, area.lastIovaOf(end - 1) - area.first + 1);
                }
            }
            held -= fresh.release(memory);
            giveBackFresh(batch);
        }
    }
}
