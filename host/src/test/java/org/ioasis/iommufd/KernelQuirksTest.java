// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.ioasis.iommufd.MockHost.APERTURE;
import static org.ioasis.iommufd.MockHost.PAGE;
import static org.ioasis.iommufd.MockHost.error;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.spec.Iommufd;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Where Linux surprises: each quirk of docs/kernel-quirks.md, as it is by default and with the
 * switch.
 */
class KernelQuirksTest {
    private final List<MockHost> hosts = new ArrayList<>();

    private MockHost host(boolean hasQuirks) {
        MockHost host =
                new MockHost(
                        IommufdNode.builder()
                                .commands(new MockDriver())
                                .kernelQuirks(hasQuirks)
                                .build());
        hosts.add(host);
        return host;
    }

    @AfterEach
    void nothingIsLeft() {
        assertThat(hosts).isNotEmpty();
        for (MockHost host : hosts) {
            host.program.closeAll();
            host.closeAll();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void q1AnAllowedRangeOfOneAddressIsRefused(boolean hasQuirks) {
        MockHost host = host(hasQuirks);
        int ioas = host.ioas();
        long list = host.program.mmap(PAGE);
        MemorySegment bytes = host.program.memoryAt(list).bytes();
        bytes.set(JAVA_LONG, 0, PAGE);
        bytes.set(JAVA_LONG, 8, PAGE);
        ProgramStub.Struct allow =
                host.program
                        .struct(Iommufd.ALLOW_IOVAS_SIZE)
                        .with(Iommufd.ALLOW_IOVAS_IOAS_ID, ioas)
                        .with(Iommufd.ALLOW_IOVAS_NUM_IOVAS, 1)
                        .with(Iommufd.ALLOW_IOVAS_ALLOWED_IOVAS, list);
        assertThat(allow.call(host.file, Iommufd.CMD_IOAS_ALLOW_IOVAS))
                .isEqualTo(error(Errno.EINVAL));
        bytes.set(JAVA_LONG, 8, PAGE + 1);
        assertThat(allow.call(host.file, Iommufd.CMD_IOAS_ALLOW_IOVAS)).isZero();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void q2AMissingParentOfAPageTableIsAWrongValueAndAMissingDeviceIsMissing(boolean hasQuirks) {
        MockHost host = host(hasQuirks);
        int ioas = host.ioas();
        MockHost.Bound bound = host.mockDomain(ioas);
        assertThat(host.hwpt(bound.device(), 99, 0)).isEqualTo((int) error(Errno.EINVAL));
        assertThat(host.hwpt(99, ioas, 0)).isEqualTo((int) error(Errno.ENOENT));
    }

    @Test
    void q3AHoleInARangeOfTheDirtyBitmapIsRefusedOrEndsItSilently() {
        for (boolean hasQuirks : new boolean[] {false, true}) {
            MockHost host = host(hasQuirks);
            int ioas = host.ioas();
            MockHost.Bound bound = host.mockDomain(ioas);
            int hwpt = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_DIRTY_TRACKING);
            assertThat(host.replace(bound.stdev(), hwpt)).isZero();
            long memory = host.program.mmap(4 * PAGE);
            // Pages 0 and 1, a hole, and page 3.
            assertThat(host.mapFixed(ioas, memory, 2 * PAGE, APERTURE)).isZero();
            assertThat(host.mapFixed(ioas, memory, PAGE, APERTURE + 3 * PAGE)).isZero();
            assertThat(
                            host.program
                                    .struct(Iommufd.SET_DIRTY_SIZE)
                                    .with(Iommufd.SET_DIRTY_FLAGS, Iommufd.DIRTY_TRACKING_ENABLE)
                                    .with(Iommufd.SET_DIRTY_HWPT_ID, hwpt)
                                    .call(host.file, Iommufd.CMD_HWPT_SET_DIRTY_TRACKING))
                    .isZero();
            TableDomain table = (TableDomain) host.find(hwpt, PagingHwpt.class).domain();
            assertThat(table.write(APERTURE)).isTrue();
            assertThat(table.write(APERTURE + 3 * PAGE)).isTrue();
            long bitmap = host.program.mmap(PAGE);
            MemorySegment bits = host.program.memoryAt(bitmap).bytes();
            assertThat(dirtyBitmap(host, hwpt, APERTURE, 4 * PAGE, bitmap))
                    .isEqualTo(hasQuirks ? 0 : error(Errno.EINVAL));
            assertThat((int) bits.get(JAVA_BYTE, 0)).isEqualTo(hasQuirks ? 0b0011 : 0);
            assertThat(dirtyBitmap(host, hwpt, APERTURE + 2 * PAGE, 2 * PAGE, bitmap))
                    .as("the hole is first")
                    .isEqualTo(hasQuirks ? 0 : error(Errno.EINVAL));
            bits.set(JAVA_BYTE, 0, (byte) 0);
            assertThat(dirtyBitmap(host, hwpt, APERTURE + 3 * PAGE, PAGE, bitmap)).isZero();
            assertThat((int) bits.get(JAVA_BYTE, 0)).as("kept until it is read").isEqualTo(1);
        }
    }

    private static long dirtyBitmap(MockHost host, int hwpt, long iova, long length, long bitmap) {
        return host.program
                .struct(Iommufd.GET_DIRTY_SIZE)
                .with(Iommufd.GET_DIRTY_HWPT_ID, hwpt)
                .with(Iommufd.GET_DIRTY_IOVA, iova)
                .with(Iommufd.GET_DIRTY_LENGTH, length)
                .with(Iommufd.GET_DIRTY_PAGE_SIZE, PAGE)
                .with(Iommufd.GET_DIRTY_DATA, bitmap)
                .call(host.file, Iommufd.CMD_HWPT_GET_DIRTY_BITMAP);
    }

    /** A device whose page requests a program answers. */
    private record Faulting(MockHost host, Device device, OpenFile file) {
        static Faulting on(MockHost host) {
            int ioas = host.ioas();
            MockHost.Bound bound = host.mockDomain(ioas);
            int parent = host.hwpt(bound.device(), ioas, Iommufd.HWPT_ALLOC_NEST_PARENT);
            ProgramStub.Struct faults = host.program.struct(Iommufd.FAULT_ALLOC_SIZE);
            assertThat(faults.call(host.file, Iommufd.CMD_FAULT_QUEUE_ALLOC)).isZero();
            int id = faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_ID);
            OpenFile file = host.program.ours(faults.getInt(Iommufd.FAULT_ALLOC_OUT_FAULT_FD));
            int nested = host.nested(bound.device(), parent, Iommufd.HWPT_FAULT_ID_VALID, id);
            assertThat(host.replace(bound.stdev(), nested)).isZero();
            return new Faulting(host, host.find(bound.device(), Device.class), file);
        }

        /** Records that one read gives; their bytes are at the address. */
        long read(long address) {
            return file.read(host.program, address, 8L * Iommufd.PGFAULT_SIZE)
                    / Iommufd.PGFAULT_SIZE;
        }
    }

    @Test
    void q8RequestsOfAnotherPasidAreOfAnotherGroupOrNot() {
        for (boolean hasQuirks : new boolean[] {false, true}) {
            Faulting faulting = Faulting.on(host(hasQuirks));
            int last = Iommufd.PGFAULT_FLAGS_LAST_PAGE;
            int valid = Iommufd.PGFAULT_FLAGS_PASID_VALID;
            PageRequests requests = faulting.device.requests();
            requests.report(valid, 5, 9, 1, PAGE);
            requests.report(0, 0, 9, 1, 2 * PAGE);
            requests.report(last, 0, 9, 1, 3 * PAGE);
            long buffer = faulting.host.program.mmap(PAGE);
            assertThat(faulting.read(buffer)).isEqualTo(hasQuirks ? 3 : 2);
        }
    }

    @Test
    void q14FlagsOfDriversAreKeptFromProgramsOrShown() {
        for (boolean hasQuirks : new boolean[] {false, true}) {
            Faulting faulting = Faulting.on(host(hasQuirks));
            int ofDrivers = 1 << 2;
            faulting.device
                    .requests()
                    .report(Iommufd.PGFAULT_FLAGS_LAST_PAGE | ofDrivers, 0, 9, 1, PAGE);
            long buffer = faulting.host.program.mmap(PAGE);
            MemorySegment record = faulting.host.program.memoryAt(buffer).bytes();
            assertThat(faulting.read(buffer)).isEqualTo(1);
            assertThat(record.get(JAVA_INT, Iommufd.PGFAULT_FLAGS))
                    .isEqualTo(Iommufd.PGFAULT_FLAGS_LAST_PAGE | (hasQuirks ? ofDrivers : 0));
            assertThat(record.get(JAVA_INT, Iommufd.PGFAULT_LENGTH)).as("always").isZero();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void q12AnAccessThatDoesNotLetGoIsADeadlockAfterAHundredTries(boolean hasQuirks)
            throws IommufdException {
        MockHost host = host(hasQuirks);
        IommufdContext context = (IommufdContext) host.file;
        Ioas ioas = host.find(host.ioas(), Ioas.class);
        long memory = host.program.mmap(PAGE);
        assertThat(host.mapFixed(ioas.id(), memory, PAGE, APERTURE)).isZero();
        int[] asked = new int[1];
        Access stubborn = context.access((_, _) -> asked[0]++, true);
        stubborn.attach(ioas);
        stubborn.pin(APERTURE, PAGE, false);
        assertThat(host.unmap(ioas.id(), APERTURE, PAGE)).isEqualTo(error(Errno.EDEADLK));
        assertThat(asked[0]).isEqualTo(100);
        stubborn.unpin(APERTURE, PAGE);
        stubborn.close();
    }
}
