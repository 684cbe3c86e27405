// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class AbiTest {
    @Test
    void otherMachinesAndSystemsAreRefusedByName() {
        assertThatThrownBy(() -> Abi.of("Linux", "riscv64")).hasMessageContaining("riscv64");
        assertThatThrownBy(() -> Abi.of("Mac OS X", "aarch64")).hasMessageContaining("Mac OS X");
    }

    @Test
    void epollEventIsPackedOnX86Only() {
        assertThat(Abi.of("Linux", "amd64")).isEqualTo(new Abi(12, 4, 46, 47, 327));
        assertThat(Abi.of("Linux", "aarch64")).isEqualTo(new Abi(16, 8, 211, 212, 286));
    }
}
