// SPDX-License-Identifier: Apache-2.0
package org.ioasis.pci;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.ioasis.pci.FunctionLayout.Capability;
import org.ioasis.spec.Pci;
import org.junit.jupiter.api.Test;

/** A function of somebody's own by its declaration, through the accesses of a bus. */
class DeclaredFunctionTest {
    private static final int VENDOR_CAP = Pci.HEADER_END + Pci.MSIX_CAP_SIZE;
    private static final int SECOND_CAP = VENDOR_CAP + 8;

    private static final FunctionLayout LAYOUT =
            FunctionLayout.builder(0x1234, 0xabcd)
                    .revision(7)
                    .classCode(0x12_0000)
                    .subsystem(0x5678, 0x9abc)
                    .bar(0, 4096)
                    .bar(2, 16)
                    .msix(4, 3)
                    .capability(
                            new Capability(
                                    Pci.CAP_ID_VNDR,
                                    new byte[] {5, 1, 2, 3, (byte) 0xfe},
                                    new byte[] {0, 0, 0, 0, 0x0f}))
                    .capability(new Capability(0x10, new byte[] {1, 2}))
                    .build();

    /** Keeps what is written and says what it is asked. */
    private static final class Registers extends DeclaredFunction {
        private final List<String> calls = new ArrayList<>();

        Registers(FunctionLayout layout) {
            super(layout);
        }

        @Override
        protected long readRegister(int bar, long offset, int size) {
            calls.add("read %d 0x%x %d".formatted(bar, offset, size));
            return -1;
        }

        @Override
        protected void writeRegister(int bar, long offset, int size, long value) {
            calls.add("write %d 0x%x %d 0x%x".formatted(bar, offset, size, value));
        }

        @Override
        protected void restart() {
            calls.add("restart, master " + isMaster());
        }

        @Override
        protected void masterChanged(boolean isMaster) {
            calls.add("master " + isMaster);
        }

        @Override
        protected void configWritten(int offset, int size) {
            calls.add("config 0x%x is 0x%x".formatted(offset, config(offset, size)));
        }
    }

    private final Registers function = new Registers(LAYOUT);
    private final List<Integer> raised = new ArrayList<>();

    @Test
    void declarationIsWhatTheConfigurationSpaceShows() {
        assertThat(function.configRead(Pci.VENDOR_ID, 4)).isEqualTo(0xabcd_1234);
        assertThat(function.configRead(Pci.REVISION_ID, 4)).isEqualTo(0x12_0000_07);
        assertThat(function.configRead(Pci.SUBSYSTEM_VENDOR_ID, 4)).isEqualTo(0x9abc_5678);
        List<Long> sizes = new ArrayList<>();
        for (int bar = 0; bar < Pci.BAR_COUNT; bar++) {
            sizes.add(function.barSize(bar));
            int at = Pci.BASE_ADDRESS_0 + 4 * bar;
            function.configWrite(at, 4, -1);
            assertThat(function.configRead(at, 4))
                    .isEqualTo(sizes.getLast() == 0 ? 0 : (int) -sizes.getLast());
        }
        assertThat(sizes).containsExactly(4096L, 0L, 16L, 0L, 4096L, 0L);
    }

    @Test
    void listOfCapabilitiesBeginsWithMsixAndGoesOnAsDeclared() {
        assertThat(function.configRead(Pci.STATUS, 2)).isEqualTo(Pci.STATUS_CAP_LIST);
        List<Integer> ids = new ArrayList<>();
        for (int at = function.configRead(Pci.CAPABILITY_LIST, 1);
                at != 0;
                at = function.configRead(at + Pci.CAP_LIST_NEXT, 1)) {
            assertThat(at % 4).isZero();
            assertThat(LAYOUT.capabilityAt(function.configRead(at, 1))).isEqualTo(at);
            ids.add(function.configRead(at, 1));
        }
        assertThat(ids).containsExactly(Pci.CAP_ID_MSIX, Pci.CAP_ID_VNDR, 0x10);
        assertThat(LAYOUT.capabilityAt(0x05)).isEqualTo(-1);
        assertThat(function.configRead(VENDOR_CAP + 2, 4)).isEqualTo(0x03_02_01_05);
        assertThat(function.configRead(SECOND_CAP + 2, 2)).isEqualTo(0x02_01);

        function.configWrite(VENDOR_CAP + 6, 1, 0xff);
        function.configWrite(SECOND_CAP + 2, 2, 0xffff);
        assertThat(function.configRead(VENDOR_CAP + 6, 1)).as("four bits").isEqualTo(0xff);
        function.configWrite(VENDOR_CAP + 6, 1, 0);
        assertThat(function.configRead(VENDOR_CAP + 6, 1)).isEqualTo(0xf0);
        assertThat(function.configRead(SECOND_CAP + 2, 2)).isEqualTo(0x02_01);
        assertThat(function.calls).contains("config 0x52 is 0xf0");
    }

    @Test
    void registersAreAskedForAlignedAccessesOfDeclaredBarsAlone() {
        assertThat(function.barRead(0, 8, 4)).isEqualTo(0xffff_ffffL);
        assertThat(function.barRead(2, 8, 8)).isEqualTo(-1);
        assertThat(function.barRead(0, 6, 4)).as("not aligned").isZero();
        function.barWrite(0, 6, 4, 1);
        function.barWrite(0, 0xffe, 2, 0xbeef);
        assertThat(function.barRead(4, Pci.MSIX_ENTRY_VECTOR_CTRL, 4))
                .as("a vector's mask")
                .isEqualTo(1);
        assertThat(function.calls)
                .containsExactly("read 0 0x8 4", "read 2 0x8 8", "write 0 0xffe 2 0xbeef");
    }

    @Test
    void vectorIsSentOnceThatIsAllowedAndTheThirdIsTheLast() {
        function.vectors(raised::add);
        function.raise(2);
        function.raise(2);
        assertThat(raised).as("no master").isEmpty();
        function.configWrite(Pci.HEADER_END + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE);
        function.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MASTER);
        assertThat(raised).containsExactly(2);
        function.configWrite(
                Pci.HEADER_END + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE | Pci.MSIX_FLAGS_MASKALL);
        function.raise(0);
        assertThat(raised).as("masked").containsExactly(2);
        function.configWrite(Pci.HEADER_END + Pci.MSIX_FLAGS, 2, Pci.MSIX_FLAGS_ENABLE);
        assertThat(raised).containsExactly(2, 0);
        assertThatThrownBy(() -> function.raise(3)).hasMessage("there is no vector 3");
        assertThatThrownBy(() -> function.raise(-1)).hasMessage("there is no vector -1");
    }

    @Test
    void resetIsPowerOnAndTheSubclassHearsOfItLast() {
        function.configWrite(Pci.COMMAND, 2, Pci.COMMAND_MASTER | Pci.COMMAND_MEMORY);
        function.calls.clear();

        function.reset();

        assertThat(function.calls).containsExactly("master false", "restart, master false");
        assertThat(function.configRead(Pci.COMMAND, 2)).isZero();
    }

    @Test
    void functionWithoutVectorsAndCapabilitiesHasNoList() {
        Registers plain = new Registers(FunctionLayout.builder(1, 2).build());
        assertThat(plain.configRead(Pci.STATUS, 2)).isZero();
        assertThat(plain.configRead(Pci.CAPABILITY_LIST, 1)).isZero();
        assertThat(plain.vectorCount()).isZero();
        plain.vectors(raised::add);
        plain.vectorsChanged();
        plain.reset();
        assertThatThrownBy(() -> plain.raise(0)).hasMessage("there is no vector 0");
    }

    @Test
    void whatCannotBeIsRefusedWhenItIsDeclared() {
        FunctionLayout.Builder builder = FunctionLayout.builder(1, 2).bar(0, 16);
        assertThatThrownBy(() -> builder.bar(1, 8)).hasMessage("BAR 1 of 8 bytes");
        assertThatThrownBy(() -> builder.bar(1, 48)).hasMessage("BAR 1 of 48 bytes");
        assertThatThrownBy(() -> builder.bar(1, Integer.MIN_VALUE))
                .hasMessage("BAR 1 of -2147483648 bytes");
        assertThatThrownBy(() -> builder.bar(6, 16)).hasMessage("there is no BAR 6");
        assertThatThrownBy(() -> FunctionLayout.builder(0xffff, 2).build())
                .hasMessage("vendor 0xffff is not 0 to 0xfffe");
        assertThatThrownBy(() -> FunctionLayout.builder(1, 2).classCode(1 << 24).build())
                .hasMessage("class code 0x1000000 is not 0 to 0xffffff");
        assertThatThrownBy(() -> FunctionLayout.builder(1, 2).msix(1, 0).build())
                .hasMessage("0 vectors");
        assertThatThrownBy(() ->
                        FunctionLayout.builder(1, 2)
                                .msix(1, FunctionLayout.VECTORS_MAX + 1)
                                .build())
                .hasMessage("129 vectors");
        assertThatThrownBy(() -> FunctionLayout.builder(1, 2).bar(0, 16).msix(0, 1).build())
                .hasMessageStartingWith("a BAR is there twice");
        assertThatThrownBy(() -> new Capability(0, new byte[2])).hasMessage("no capability: 0x0");
        assertThatThrownBy(() -> new Capability(9, new byte[2], new byte[3]))
                .hasMessage("2 bytes of a capability, and a mask of 3");
    }

    @Test
    void capabilitiesFillTheConfigurationSpaceAndNoMore() {
        int room = Pci.CONFIG_SPACE_SIZE - Pci.HEADER_END - 2;
        FunctionLayout full =
                FunctionLayout.builder(1, 2).capability(new Capability(9, new byte[room])).build();
        assertThat(new Registers(full).configRead(Pci.CAPABILITY_LIST, 1))
                .isEqualTo(Pci.HEADER_END);
        assertThatThrownBy(() ->
                        FunctionLayout.builder(1, 2)
                                .capability(new Capability(9, new byte[room + 1]))
                                .build())
                .hasMessage("the capabilities end at 0x104, behind the configuration space");
        assertThatThrownBy(() -> full.toBuilder().msix(0, 1).build())
                .hasMessageContaining("the capabilities end at 0x10c");
    }
}
