// SPDX-License-Identifier: Apache-2.0
package org.ioasis.peer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Objects;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.FaultQueue;
import org.ioasis.memory.Access;
import org.ioasis.memory.DirectDma;
import org.ioasis.memory.Guards;
import org.ioasis.memory.GuestMemory;
import org.ioasis.memory.Outcome;
import org.ioasis.spec.VirtioIommu;
import org.ioasis.sys.Fd;
import org.ioasis.sys.Mapping;
import org.ioasis.sys.Memfd;
import org.ioasis.virtio.KeptState;
import org.ioasis.virtio.iommu.VirtioIommuDevice;
import org.ioasis.virtqueue.ChainLog;
import org.ioasis.virtqueue.RingFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Memory that a VMM cuts short under a device, at the accesses that rings and logs of chains are
 * made of. The first access of a process is not compiled; if the JVM cannot step over its
 * instruction, this test ends with its JVM.
 */
class CutMemoryTest {
    private static final int PAGE = 4096;

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void anIndexThatIsStoredWhereNothingIsLeftIsAnErrorAndNotTheEndOfTheProcess(boolean release)
            throws Exception {
        Guards guards = new Guards(System::nanoTime, lease -> {});
        GuestMemory memory = new GuestMemory(guards, 1);
        SharedMemory shared = new SharedMemory(memory, PAGE, Runnable::run);
        try (Fd fd = Memfd.create("cut", PAGE);
                FileChannel file =
                        FileChannel.open(
                                Path.of("/proc/self/fd/" + fd.number()),
                                StandardOpenOption.WRITE)) {
            assertThat(shared.add(0, PAGE - 1, fd, 0, true)).isNull();
            DirectDma dma = new DirectDma(memory, guards.open());
            dma.enter();
            try {
                assertThat(dma.resolve(2, 2, Access.WRITE)).isEqualTo(Outcome.OK);
                file.truncate(0);
                assertThatThrownBy(
                                () -> {
                                    dma.storeShort(7, release);
                                    Mapping.raiseLate();
                                })
                        .isInstanceOf(InternalError.class);
            } finally {
                dma.leave();
            }
            shared.removeAll(() -> {});
            guards.poll();
        }
    }

    @Test
    void aStateOfWhichNothingIsLeftIsWrittenNoMoreAndReadingItIsAnError() throws Exception {
        Guards guards = new Guards(System::nanoTime, lease -> {});
        Iommu iommu =
                new Iommu(
                        IommuOptions.DEFAULT,
                        guards,
                        new FaultQueue(1, 1, System::nanoTime),
                        () -> {
                            throw new IllegalStateException("no domain is made");
                        });
        VirtioIommuDevice type = new VirtioIommuDevice(iommu, Runnable::run);
        KeptState kept = Objects.requireNonNull(type.keptState());
        try (Fd fd = Memfd.create("cut", kept.bytes());
                FileChannel file =
                        FileChannel.open(
                                Path.of("/proc/self/fd/" + fd.number()), StandardOpenOption.WRITE);
                Mapping mapping = Mapping.map(fd, 0, kept.bytes(), true)) {
            kept.begin(mapping.segment());
            file.truncate(0);
            for (int i = 0; i < 3; i++) {
                type.writeConfig(VirtioIommu.CONFIG_BYPASS, 1, i & 1);
                Mapping.raiseLate();
            }
            assertThat(kept.isWriting()).isTrue();
            kept.begin(mapping.segment());

            assertThatThrownBy(
                            () -> {
                                kept.goOn(mapping.segment(), new long[0]);
                                Mapping.raiseLate();
                            })
                    .isInstanceOf(InternalError.class);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aLogOfWhichNothingIsLeftIsAnErrorAndNotTheEndOfTheProcess(RingFormat format)
            throws Exception {
        try (Fd fd = Memfd.create("cut", PAGE);
                FileChannel file =
                        FileChannel.open(
                                Path.of("/proc/self/fd/" + fd.number()), StandardOpenOption.WRITE);
                Mapping mapping = Mapping.map(fd, 0, PAGE, true)) {
            ChainLog log = format.newLog(mapping.segment(), 8);
            file.truncate(0);

            assertThatThrownBy(
                            () -> {
                                log.forget();
                                Mapping.raiseLate();
                            })
                    .isInstanceOf(InternalError.class);
        }
    }
}
