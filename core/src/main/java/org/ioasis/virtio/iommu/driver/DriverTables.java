// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.iommu.driver;

import static org.ioasis.spec.VirtioIommu.S_NOENT;
import static org.ioasis.spec.VirtioIommu.S_OK;
import static org.ioasis.spec.VirtioIommuTables.CODE_FAILURE;
import static org.ioasis.spec.VirtioIommuTables.FORMAT_ARM_LPAE;
import static org.ioasis.spec.VirtioIommuTables.FORMAT_ARM_SMMUV3;
import static org.ioasis.spec.VirtioIommuTables.FORMAT_VTD_FIRST_LEVEL;
import static org.ioasis.spec.VirtioIommuTables.GRANULARITY_DOMAIN;
import static org.ioasis.spec.VirtioIommuTables.GRANULARITY_PASID;
import static org.ioasis.spec.VirtioIommuTables.GRANULARITY_VA;
import static org.ioasis.spec.VirtioIommuTables.TYPE_DEVICE_TLB;
import static org.ioasis.spec.VirtioIommuTables.TYPE_IOTLB;
import static org.ioasis.spec.VirtioIommuTables.TYPE_PASID_CACHE;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.ioasis.virtio.driver.BrokenException;
import org.ioasis.virtio.driver.DriverException;
import org.ioasis.virtio.iommu.driver.DriverTable.Member;
import org.jspecify.annotations.Nullable;

/**
 * Page tables of the driver's own, and page requests of devices that use them: what drafts add to
 * the device (see {@code docs/nesting.md}). Part of an {@link IommuDriver} whose options ask for
 * it; an endpoint without a PASID is here or in a {@link DriverDomain}, not in both. Driver's
 * thread.
 */
public final class DriverTables {
    /** Pages that ranges consist of. */
    static final int PAGE_LG2 = 12;

    private static final int NO_PASID = -1;
    private static final int NO_SPACE = -1;
    private static final int TRANSLATIONS = TYPE_IOTLB | TYPE_DEVICE_TLB;
    private static final int CONTEXTS = TRANSLATIONS | TYPE_PASID_CACHE;
    private static final long PAGE_MASK = (1 << PAGE_LG2) - 1;

    private final IommuDriver driver;
    private final Map<Integer, DriverTable> tables = new TreeMap<>(Integer::compareUnsigned);
    private Consumer<? super PageRequestReport> listener = _ -> {};

    DriverTables(IommuDriver driver) {
        this.driver = driver;
    }

    /** True if a table has that number. */
    boolean has(int id) {
        return tables.containsKey(id);
    }

    /** True if what the endpoint does without a PASID goes through a table. */
    boolean holds(int endpoint) {
        Member member = new Member(endpoint, NO_PASID);
        return tables.values().stream().anyMatch(table -> table.members.contains(member));
    }

    /**
     * Makes a table known to the driver; the device hears of it with the first {@link #attach}.
     *
     * @param root where its top table is, in the device's memory
     * @param width bits of an address: 48, or 57
     */
    public DriverTable table(long root, int width) throws DriverException {
        return table(new TableShape.FirstLevel(root, width));
    }

    /** The same of a table in any of the formats of the drafts. */
    public DriverTable table(TableShape shape) throws DriverException {
        mustHaveTables();
        DriverTable table = new DriverTable(driver.freeId(), shape);
        tables.put(table.id(), table);
        return table;
    }

    private void mustHaveTables() {
        if (!driver.config().has(DriverOptions.TABLES)) {
            throw new IllegalStateException("tables are not negotiated");
        }
    }

    private void mustKnow(DriverTable table) {
        if (tables.get(table.id()) != table) {
            throw new IllegalStateException("the table is closed");
        }
    }

    /** Ends a table that nobody goes through. */
    public void close(DriverTable table) {
        mustKnow(table);
        if (!table.members.isEmpty()) {
            throw new IllegalStateException("endpoints use the table");
        }
        tables.remove(table.id());
    }

    /**
     * What an endpoint does without a PASID goes through the table from now on; with contexts, what
     * it does with any PASID, too.
     */
    public void attach(DriverTable table, int endpoint) throws DriverException {
        attach(table, new Member(endpoint, NO_PASID));
    }

    /** What an endpoint does with a PASID goes through the table from now on. */
    public void attach(DriverTable table, int endpoint, int pasid) throws DriverException {
        if (pasid < 0) {
            throw new IllegalArgumentException("PASID " + pasid);
        }
        attach(table, new Member(endpoint, pasid));
    }

    private void attach(DriverTable table, Member member) throws DriverException {
        mustKnow(table);
        EndpointInfo.Tables can = driver.probe(member.endpoint()).tables();
        if (can == null || !takes(can, table.shape(), member.pasid())) {
            throw new DriverException(
                    "endpoint %d takes no such table or PASID".formatted(member.endpoint()));
        }
        if (member.pasid() < 0 && driver.domainOf(member.endpoint()) != null) {
            throw new IllegalStateException("the endpoint is in a domain");
        }
        RequestRing ring = driver.ring();
        ring.begin();
        int slot = ring.attachTable(table.id(), member.endpoint(), member.pasid(), table.shape());
        ring.await();
        mustBeOk(ring.status(slot), "ATTACH_TABLE of endpoint " + member.endpoint());
        tables.values().forEach(each -> each.members.remove(member));
        table.members.add(member);
    }

    private static boolean takes(EndpointInfo.Tables can, TableShape shape, int pasid) {
        return switch (shape) {
            case TableShape.FirstLevel _ ->
                    can.format() == FORMAT_VTD_FIRST_LEVEL
                            && (pasid < 0 || pasid >>> can.pasidBits() == 0);
            case TableShape.Lpae _ -> can.format() == FORMAT_ARM_LPAE && pasid < 0;
            case TableShape.Contexts contexts ->
                    can.contextFormat() == FORMAT_ARM_SMMUV3
                            && contexts.pasidBits() <= can.pasidBits()
                            && pasid < 0;
        };
    }

    /** Takes all that an endpoint has there out of a table; no access is left then. */
    public void detach(DriverTable table, int endpoint) throws DriverException {
        mustKnow(table);
        mustBeOk(askToDetach(table, endpoint), "DETACH of endpoint " + endpoint);
        table.members.removeIf(member -> member.endpoint() == endpoint);
    }

    private int askToDetach(DriverTable table, int endpoint) throws DriverException {
        if (table.members.stream().noneMatch(member -> member.endpoint() == endpoint)) {
            return S_OK;
        }
        RequestRing ring = driver.ring();
        ring.begin();
        int slot = ring.detach(table.id(), endpoint);
        ring.await();
        return ring.status(slot);
    }

    /** As {@link IommuDriver#unplugged} has it: the endpoint is taken out of every table. */
    void unplugged(int endpoint) throws DriverException {
        for (DriverTable table : tables.values()) {
            int status = askToDetach(table, endpoint);
            if (status != S_NOENT) {
                mustBeOk(status, "DETACH of endpoint %d, which is gone".formatted(endpoint));
            }
            table.members.removeIf(member -> member.endpoint() == endpoint);
        }
    }

    /**
     * Says that something that leads from {@code first..last} is not what it was. No device goes by
     * what was before when it returns.
     *
     * @param first of a page of 4 KiB
     * @param last of such a page
     */
    public void invalidate(DriverTable table, long first, long last) throws DriverException {
        invalidate(table, NO_SPACE, first, last);
    }

    /**
     * The same of one of the spaces of a table of ARM's, and of what is global there.
     *
     * @param asid 16 bits
     */
    public void invalidate(DriverTable table, int asid, long first, long last)
            throws DriverException {
        if (Long.compareUnsigned(first, last) > 0 || ((first | (last + 1)) & PAGE_MASK) != 0) {
            throw new IllegalArgumentException("0x%x..0x%x are no pages".formatted(first, last));
        }
        long pages = ((last - first) >>> PAGE_LG2) + 1;
        invalidate(table, GRANULARITY_VA, TRANSLATIONS, NO_PASID, asid, first, pages);
    }

    /** Says that the table is not what it was, and what it has for PASIDs neither. */
    public void invalidate(DriverTable table) throws DriverException {
        int types = table.shape() instanceof TableShape.Contexts ? CONTEXTS : TRANSLATIONS;
        invalidate(table, GRANULARITY_DOMAIN, types, NO_PASID, NO_SPACE, 0, 0);
    }

    /**
     * Says that one of the spaces of a table of ARM's is not what it was; what is global stays.
     *
     * @param asid 16 bits
     */
    public void invalidateSpace(DriverTable table, int asid) throws DriverException {
        invalidate(table, GRANULARITY_PASID, TRANSLATIONS, NO_PASID, asid, 0, 0);
    }

    /** Says that a PASID has another context than it had. */
    public void invalidateContext(DriverTable table, int pasid) throws DriverException {
        invalidate(table, GRANULARITY_PASID, CONTEXTS, pasid, NO_SPACE, 0, 0);
    }

    private void invalidate(
            DriverTable table,
            int granularity,
            int types,
            int pasid,
            int asid,
            long first,
            long pages)
            throws DriverException {
        mustKnow(table);
        if (table.members.isEmpty()) {
            return; // the device knows nothing of it
        }
        RequestRing ring = driver.ring();
        ring.begin();
        int slot = ring.invalidate(table.id(), granularity, types, pasid, asid, first, pages);
        ring.await();
        mustBeOk(ring.status(slot), "INVALIDATE of domain " + table.id());
    }

    // --- page requests

    /** Who is told of page requests from now on, in {@link IommuDriver#pollEvents}. */
    public void onPageRequest(Consumer<? super PageRequestReport> told) {
        listener = told;
    }

    Consumer<? super PageRequestReport> listener() {
        return listener;
    }

    /**
     * Answers a group, once its last request has come.
     *
     * @param last any request of the group
     * @param code CODE_ of {@code VirtioIommuTables}
     */
    public void respond(PageRequestReport last, int code) throws DriverException {
        mustHaveTables();
        if (code < 0 || code > CODE_FAILURE) {
            throw new IllegalArgumentException("code " + code);
        }
        RequestRing ring = driver.ring();
        ring.begin();
        int slot = ring.respond(last.endpoint(), last.pasid(), last.group(), code);
        ring.await();
        mustBeOk(
                ring.status(slot),
                "PAGE_RESP to group %d of endpoint %d".formatted(last.group(), last.endpoint()));
    }

    private static void mustBeOk(int status, String request) throws RefusedException {
        if (status != S_OK) {
            throw new RefusedException(request, status);
        }
    }

    // --- reset

    /**
     * After a reset: the device knows nothing of any table, and is told anew. Who is refused now
     * goes through none; all are tried.
     *
     * @param first the reason of a refusal before, or null
     * @return the first reason by now
     */
    @Nullable DriverException attachAgain(@Nullable DriverException first) throws BrokenException {
        DriverException reason = first;
        for (DriverTable table : tables.values()) {
            for (Member member : List.copyOf(table.members)) {
                try {
                    attach(table, member);
                } catch (BrokenException broken) {
                    throw broken; // and the next reset tries again
                } catch (DriverException refused) {
                    table.members.remove(member);
                    if (reason == null) {
                        reason = refused;
                    } else {
                        reason.addSuppressed(refused);
                    }
                }
            }
        }
        return reason;
    }
}
