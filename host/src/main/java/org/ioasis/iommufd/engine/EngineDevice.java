// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.engine;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.iommu.Attachment;
import org.ioasis.iommu.Domain;
import org.ioasis.iommu.Endpoint;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Refusal;
import org.ioasis.iommu.ReservedRegion;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.HwDevice;
import org.ioasis.iommufd.HwDomain;
import org.ioasis.iommufd.HwGroup;
import org.ioasis.iommufd.HwInfo;
import org.ioasis.iommufd.HwPagingDomain;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.IovaRange;
import org.ioasis.iommufd.NestedDomain;
import org.ioasis.iommufd.UserData;
import org.ioasis.iommufd.Viommu;
import org.ioasis.iommufd.ViommuDriver;
import org.ioasis.memory.Dma;
import org.ioasis.memory.Guard;
import org.ioasis.spec.Iommufd;
import org.jspecify.annotations.Nullable;

/**
 * A device of an embedder's behind an {@link EngineIommu}: bound to a context like any other, and
 * its accesses made by a {@link Dma}. Under the lock of its context, but for that.
 */
public final class EngineDevice implements HwDevice {
    private static final int PASID_BITS = 20;

    private final EngineIommu iommu;
    private final Endpoint endpoint;
    private final HwGroup group = new HwGroup();

    /** Those whose spaces are open. */
    private final List<Integer> pasids = new ArrayList<>();

    /** Those that it makes accesses with. */
    private final Set<Integer> accessed = new HashSet<>();

    /** The guest's table that it is attached to as a whole, with all PASIDs. */
    private @Nullable EngineNested whole;

    private PageAnswers answers = (_, _, _) -> {};

    /** Hears the answers to page requests that the device has made. Under its context's lock. */
    public interface PageAnswers {
        /**
         * @param code PAGE_RESP_
         */
        void answered(int pasid, int group, int code);
    }

    EngineDevice(EngineIommu iommu, Endpoint endpoint) {
        this.iommu = iommu;
        this.endpoint = endpoint;
    }

    /**
     * Its way to memory without a PASID: blocked until it is attached, and again when it is
     * detached.
     *
     * @param guard of the thread that it runs on
     */
    public Dma dma(Guard guard) {
        return iommu.iommu().dma(endpoint.attachment(), iommu.memory(), guard);
    }

    /**
     * Its way to memory with a PASID.
     *
     * @throws IommufdException ENOSPC: it uses as many as it may
     */
    public Dma dma(int pasid, Guard guard) throws IommufdException {
        Attachment space = space(pasid);
        accessed.add(pasid);
        EngineNested table = whole;
        if (pasid != NO_PASID && table != null) {
            enter(table.target(this, pasid), pasid);
        }
        return iommu.iommu().dma(space, iommu.memory(), guard);
    }

    /** Who hears the answers to its page requests from now on. */
    public void onAnswer(PageAnswers told) {
        answers = told;
    }

    @Override
    public void respond(int pasid, int number, int code) {
        answers.answered(pasid, number, code);
    }

    /** What the IOMMU calls it. */
    public int number() {
        return endpoint.id();
    }

    /**
     * A guest's own table says anew what its requests with a PASID, or without one, go through: to
     * nothing, if there is no room for another.
     */
    public void reenter(int pasid) {
        EngineNested table = whole;
        if (table == null || (pasid != NO_PASID && endpoint.attachment(pasid) == null)) {
            return;
        }
        try {
            enter(table.target(this, pasid), pasid);
        } catch (IommufdException e) {
            leave(pasid);
        }
    }

    /** The same of all of them. */
    public void reenter() {
        reenter(NO_PASID);
        pasids.forEach(this::reenter);
    }

    /** Whether some PASID of it is attached by itself. */
    private boolean hasPasids() {
        return whole == null
                && pasids.stream()
                        .map(endpoint::attachment)
                        .anyMatch(space -> space != null && space.domain() != null);
    }

    /** What it is for the engine. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** What has happened to its accesses without a PASID. Any thread. */
    public EndpointCounts counts() {
        return endpoint.counts();
    }

    /** The space of a PASID stays as long as it is attached, and for ever if a Dma knows it. */
    private Attachment space(int pasid) throws IommufdException {
        if (pasid == NO_PASID) {
            return endpoint.attachment();
        }
        Attachment known = endpoint.attachment(pasid);
        if (known != null) {
            return known;
        }
        Attachment space = endpoint.open(pasid);
        if (space == null) {
            closeUnused();
            space = endpoint.open(pasid);
        }
        if (space == null) {
            throw new IommufdException(Errno.ENOSPC, "the device uses as many PASIDs as it may");
        }
        pasids.add(pasid);
        return space;
    }

    /** What programs have attached and detached again takes no room from the next one. */
    private void closeUnused() {
        pasids.removeIf(pasid -> {
            Attachment space = endpoint.attachment(pasid);
            if (space == null
                    || space.domain() != null
                    || space.isBusy()
                    || accessed.contains(pasid)) {
                return false;
            }
            endpoint.close(space);
            return true;
        });
    }

    @Override
    public HwGroup group() {
        return group;
    }

    @Override
    public Object iommu() {
        return iommu;
    }

    @Override
    public boolean isCoherent() {
        return true;
    }

    @Override
    public boolean enforcesCoherency() {
        return true;
    }

    @Override
    public int pasidBits() {
        return PASID_BITS;
    }

    @Override
    public List<IovaRange> reserved() {
        EndpointProperties properties = endpoint.properties();
        List<IovaRange> ranges = new ArrayList<>();
        for (ReservedRegion region : properties.reserved().regions()) {
            ranges.add(new IovaRange(region.first(), region.last()));
        }
        if (properties.inputFirst() != 0) {
            ranges.add(new IovaRange(0, properties.inputFirst() - 1));
        }
        if (properties.inputLast() != -1) {
            ranges.add(new IovaRange(properties.inputLast() + 1, -1));
        }
        return ranges;
    }

    @Override
    public void attach(HwDomain domain, int pasid) throws IommufdException {
        switch (domain) {
            case EngineDomain ours when ours.isOf(iommu) -> {
                enter(ours.domain(), pasid);
                change(null, pasid);
            }
            case EngineNested nested when nested.parent.isOf(iommu) -> {
                if (nested.ownsPasids()) {
                    checkWhole(pasid);
                }
                nested.check(this);
                enter(nested.target(this, pasid), pasid);
                change(nested, pasid);
                iommu.attachedToTable();
            }
            default ->
                    throw new IommufdException(Errno.EINVAL, "the page table is another IOMMU's");
        }
    }

    /** A table that says what each PASID has is for all of a device. */
    private void checkWhole(int pasid) throws IommufdException {
        if (pasid != NO_PASID) {
            throw new IommufdException(Errno.EOPNOTSUPP, "the guest's table is for all PASIDs");
        }
        if (hasPasids()) {
            throw new IommufdException(
                    Errno.EBUSY, "the device has PASIDs that are attached by themselves");
        }
    }

    private void enter(@Nullable Domain domain, int pasid) throws IommufdException {
        if (domain == null) {
            leave(pasid);
            return;
        }
        Attachment space = space(pasid);
        if (space.domain() != domain) {
            Refusal refusal = iommu.ask(done -> iommu.iommu().attach(space, domain, done));
            if (refusal != null) {
                throw EngineIommu.refused(refusal);
            }
        }
    }

    /** A guest's table that it was attached to with all PASIDs goes, and another comes. */
    @SuppressWarnings("ReferenceEquality") // the very object
    private void change(@Nullable EngineNested next, int pasid) {
        EngineNested before = whole;
        EngineNested after = next != null && next.ownsPasids() ? next : null;
        if (pasid != NO_PASID || before == after) {
            return;
        }
        whole = after;
        if (before != null) {
            pasids.forEach(this::leave);
            before.left(this);
        }
        if (after != null) {
            after.joined(this);
            pasids.forEach(this::reenter);
        }
    }

    @Override
    public void block(int pasid) {
        leave(pasid);
        change(null, pasid);
    }

    private void leave(int pasid) {
        Attachment space = pasid == NO_PASID ? endpoint.attachment() : endpoint.attachment(pasid);
        if (space != null && space.domain() != null) {
            iommu.ask(done -> iommu.iommu().detach(space, done));
        }
    }

    @Override
    public HwPagingDomain paging(int flags, @Nullable UserData data) throws IommufdException {
        int known =
                Iommufd.HWPT_ALLOC_PASID
                        | (iommu.architecture().hasGuests() ? Iommufd.HWPT_ALLOC_NEST_PARENT : 0);
        if (data != null || (flags & ~known) != 0) {
            throw new IommufdException(
                    Errno.EOPNOTSUPP, "the IOMMU's page tables take no data and not these flags");
        }
        return iommu.domain();
    }

    private EngineDomain ours(HwPagingDomain parent) throws IommufdException {
        if (parent instanceof EngineDomain ours && ours.isOf(iommu)) {
            return ours;
        }
        throw new IommufdException(Errno.EINVAL, "the page table is another IOMMU's");
    }

    @Override
    public NestedDomain nested(HwPagingDomain parent, int flags, UserData data)
            throws IommufdException {
        return iommu.architecture().nested(ours(parent), flags, data);
    }

    @Override
    public boolean hasViommu(int type) {
        return iommu.architecture().hasViommu(type);
    }

    @Override
    public @Nullable ViommuDriver viommu(
            Viommu viommu, int type, HwPagingDomain parent, @Nullable UserData data)
            throws IommufdException {
        return iommu.architecture().viommu(viommu, type, ours(parent), data);
    }

    @Override
    public HwInfo info(int type) throws IommufdException {
        return iommu.architecture().info(type);
    }
}
