// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.iommu.IommuOptions;
import org.ioasis.iommu.fault.Fault;
import org.ioasis.iommu.fault.FaultReason;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.ioasis.live.MachineView.DeviceView;
import org.ioasis.live.MachineView.EndpointView;
import org.ioasis.live.MachineView.IommuView;
import org.ioasis.loop.LoopCounts;
import org.ioasis.memory.Access;
import org.ioasis.peer.ServedInfo;
import org.ioasis.spec.Virtio;
import org.junit.jupiter.api.Test;

/** What is said of a function whose driver is gone. */
final class DiagnosisTest {
    private static final ServedInfo SERVED =
            new ServedInfo(
                    Path.of("s.sock"), true, 1, 0, 1, 0, 4096, 0, false, 1, 1, 1, 0, "none", "");
    private static final Fault FAULT =
            new Fault(
                    FaultReason.MAPPING,
                    Kind.MAPPED,
                    0x88,
                    -1,
                    0x2000_0000L,
                    Access.READ,
                    "not mapped in domain 0x1",
                    1);

    private static Diagnosis.Finding found(long faults, List<Fault> kept) {
        return found(faults, kept, false, "");
    }

    private static Diagnosis.Finding found(
            long faults, List<Fault> kept, boolean isMaster, String silence) {
        EndpointView endpoint =
                new EndpointView(
                        "rev",
                        0x88,
                        SERVED,
                        null,
                        isMaster,
                        true,
                        true,
                        isMaster ? 1 : -1,
                        false,
                        new EndpointCounts(0, 0, 0, 0, 0, 0, 0, 0, faults),
                        Map.of(),
                        Map.of(),
                        null,
                        silence);
        IommuView iommu =
                new IommuView(
                        "iommu0",
                        SERVED,
                        new DeviceView(23, Virtio.STATUS_DRIVER_OK, 0, null, 0, 0),
                        false,
                        0,
                        0,
                        List.of(),
                        Map.of(),
                        0,
                        0,
                        null,
                        faults,
                        0,
                        0,
                        kept,
                        kept,
                        -1,
                        List.of(endpoint),
                        0,
                        List.of(),
                        IommuOptions.DEFAULT,
                        Map.of(),
                        0);
        return Diagnosis.of(
                        List.of(
                                new MachineView(
                                        "m",
                                        true,
                                        0,
                                        "",
                                        new LoopCounts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
                                        List.of(iommu))))
                .findings()
                .getLast();
    }

    @Test
    void whatWasRefusedBeforeItsDriverWentIsNotForgotten() {
        assertThat(found(1, List.of(FAULT)).text())
                .isEqualTo(
                        "no driver in the guest lets the device touch memory (COMMAND.MASTER is 0); before"
                                + " that 1 accesses were refused; the first: endpoint 0x88, READ at"
                                + " 0x20000000: not mapped in domain 0x1");
        assertThat(found(1, List.of(FAULT)).cause()).isEqualTo(Diagnosis.Cause.FAULTS);
    }

    @Test
    void aFunctionThatNoDriverHasUsedWantsOne() {
        assertThat(found(0, List.of()).cause()).isEqualTo(Diagnosis.Cause.NOT_STARTED);
        assertThat(found(0, List.of()).text()).endsWith("(COMMAND.MASTER is 0)");
    }

    @Test
    void ofADeviceThatAccessesNothingIsSaidWhatIsKnownOfThat() {
        assertThat(found(0, List.of(), true, "").text())
                .isEqualTo(
                        "attached to domain 0x1 and will be translated; it has not accessed memory yet");
        assertThat(found(0, List.of(), true, "it cannot").text())
                .isEqualTo("attached to domain 0x1 and will be translated; it cannot");
        assertThat(found(0, List.of(), true, "it cannot").cause()).isEqualTo(Diagnosis.Cause.IDLE);
        assertThat(found(0, List.of(), false, "it cannot").text())
                .endsWith("(COMMAND.MASTER is 0); before that it cannot");
        assertThat(found(1, List.of(FAULT), false, "it cannot").text()).doesNotContain("cannot");
    }
}
