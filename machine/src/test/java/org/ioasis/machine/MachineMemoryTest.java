// SPDX-License-Identifier: Apache-2.0
package org.ioasis.machine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import org.ioasis.iommu.Completion;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.iommu.Iommu;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.Status;
import org.ioasis.iommu.mapping.MapFlags;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.virtio.iommu.DomainTable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a machine takes from its host, in memory and in files, and what it gives back. */
final class MachineMemoryTest {
    private static final long TABLES = 1 << 16;
    private static final long PAGE = 4096;

    @TempDir private Path folder;
    private Status answer = Status.DEVERR;

    private Machine machine(long tables) throws IOException {
        // No endpoint has a lower limit, which would hide that of the IOMMU.
        IommuOptions options =
                IommuOptions.builder()
                        .tableLimit(tables)
                        .endpointMappingLimit(1 << 20)
                        .endpointTableLimit(IommuOptions.TABLE_LIMIT)
                        .build();
        return new Machine("m", options, IdlePolicy.EVENT_DRIVEN, folder.resolve("iommu.sock"));
    }

    @Test
    void tablesOfAnIommuStayWithinItsOwnLimit() throws IOException {
        try (Machine machine = machine(TABLES)) {
            Iommu engine = machine.iommus().getFirst().engine();
            Completion completion = status -> answer = status;
            engine.plug(1, EndpointProperties.UNLIMITED);
            DomainTable requests = machine.iommus().getFirst().device().domains();
            requests.attach(1, 1, false, completion);
            int mapped = 0;
            do {
                // One page in 2 MiB: a table of its own for each.
                long first = (long) mapped++ << 21;
                requests.map(1, first, first + PAGE - 1, 0, MapFlags.READ, completion);
            } while (answer == Status.OK && mapped < 100);

            assertThat(answer).isEqualTo(Status.NOMEM);
            assertThat(engine.mappingCount()).isBetween(4L, TABLES / PAGE);
        }
    }

    @Test
    void aClosedMachineHoldsNoTables() throws IOException {
        long reserved = 16L << 30;
        long before = ProcessMemory.addresses();
        try (Machine _ = machine(reserved)) {
            assertThat(ProcessMemory.addresses() - before).isGreaterThanOrEqualTo(reserved);
        }
        assertThat(ProcessMemory.addresses() - before).isLessThan(reserved / 2);
    }

    @Test
    void socketThatCannotBeMadeLeavesNothingBehind() throws IOException {
        long reserved = 16L << 30;
        Path nowhere = folder.resolve("no-such-folder").resolve("s.sock");
        try (Machine machine = machine(TABLES)) {
            long before = ProcessMemory.addresses();
            IommuOptions options =
                    IommuOptions.builder()
                            .tableLimit(reserved)
                            .endpointMappingLimit(1 << 20)
                            .endpointTableLimit(IommuOptions.TABLE_LIMIT)
                            .build();
            for (int i = 0; i < 4; i++) {
                assertThatThrownBy(() -> machine.addIommu("second", options, nowhere))
                        .isInstanceOf(IOException.class);
            }
            assertThat(ProcessMemory.addresses() - before).isLessThan(reserved / 2);
            assertThat(machine.iommus()).hasSize(1);

            IommuUnit unit = machine.iommus().getFirst();
            assertThatThrownBy(() -> machine.add(unit, function(nowhere)))
                    .isInstanceOf(IOException.class);
            assertThat(unit.engine().endpoint(7)).isNull();
            FunctionDevice added = machine.add(unit, function(folder.resolve("f.sock")));
            assertThat(added.endpoint().id()).isEqualTo(7);
        }
    }

    /** A function that nobody connects to. */
    private static DeviceOptions<FunctionDevice> function(Path socket) {
        return new FunctionOptions(
                DevicePlace.of("f", socket, 7), _ -> new SharedMemoryFunction(4096, 1));
    }
}
